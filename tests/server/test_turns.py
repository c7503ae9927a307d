"""A quiet loop with a quick disk commits at once, answers at once, and stays awake a moment for who sends one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from leveret.client import BasicProperties, connect, looping
from leveret.server.config import Config, Management
from leveret.server.server import Server
from leveret.store import committer
from leveret.store.database import Work

WAIT_S = 60.0
COUNT = 100
PERSISTENT = BasicProperties(delivery_mode=2)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not done():
            await asyncio.sleep(0)


def test_who_sends_one_by_one_is_answered_at_once_and_then_the_loop_sleeps_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("leveret.server.turns.monotonic", clock)
    monkeypatch.setattr(committer, "QUICK_S", WAIT_S)  # on however slow a disk

    async def main() -> None:
        server = Server(Config(data=tmp_path, port=0, management=Management(enabled=False)))
        await server.start()
        thread = server.store._committer
        assert thread is not None
        put, handed_over = thread.put, 0

        def counted(work: Work) -> None:
            nonlocal handed_over
            handed_over += 1
            put(work)

        monkeypatch.setattr(thread, "put", counted)
        async with await connect(f"amqp://guest:guest@127.0.0.1:{server.port}/") as connection:
            channel = await connection.channel(confirms=True)
            await channel.queue_declare("jobs", durable=True)
            thread._quick = 0
            for _ in range(committer.QUICK_IN_A_ROW):
                await channel.publish(b"x", routing_key="jobs", properties=PERSISTENT)
            assert handed_over >= committer.QUICK_IN_A_ROW and not server.turns._awake
            handed_over = 0
            for _ in range(COUNT):
                await channel.publish(b"x", routing_key="jobs", properties=PERSISTENT)
            assert handed_over == 0
            assert server.turns._awake, "the clock stood still: the next message is expected"
            clock.now_s += 1.0
            await until(lambda: not server.turns._awake)
            await channel.publish(b"x", routing_key="jobs", properties=PERSISTENT)
            assert not server.turns._awake, "it came late: nobody sends one by one"
            assert (await channel.queue_declare("jobs", passive=True)).messages == COUNT + committer.QUICK_IN_A_ROW + 1
        await server.stop()

    looping.run(main())
