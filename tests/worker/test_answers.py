"""In which order senders are told, where there is no room just now."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from leveret.client import BasicProperties, Connection, StandingChannel
from leveret.tasks import Done, Message, Progress
from leveret.tasks.replies import PROGRESS, RESULT
from leveret.worker.answers import Answers


class Crowded:
    """A channel, and what stands for it, that has no room until `room` is set."""

    writable = False

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.told: list[tuple[str, Any]] = []

    @property
    def ready(self) -> Crowded:
        return self

    async def get(self) -> Crowded:
        return self

    async def publish(self, body: bytes, *, properties: BasicProperties, **_: Any) -> None:
        await self.room.wait()
        self.told.append((properties.type or "", msgspec.json.decode(body)))


def test_the_result_comes_after_the_last_progress_and_what_is_overtaken_is_left_out() -> None:
    async def main() -> list[tuple[str, Any]]:
        answers = Answers(cast(Connection, None))
        channel = Crowded()
        answers._channel = cast(StandingChannel, channel)
        one = Message("q", b"", BasicProperties(message_id="1", reply_to="sender", correlation_id="1"), 1, False)
        for done in range(50):
            answers.progress(one, Progress(done, 50))
        await asyncio.sleep(0)
        giving = asyncio.create_task(answers.give(one, Done(4, 0.1)))
        await asyncio.sleep(0)
        channel.room.set()
        await giving
        return channel.told

    told = asyncio.run(main())
    assert [kind for kind, _ in told][-1] == RESULT
    assert [about["done"] for kind, about in told if kind == PROGRESS][-1] == 49
    assert len(told) <= 3
