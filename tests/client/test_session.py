"""One channel's exchange with the broker, step by step, against a broker without a socket (client/fake)."""

from __future__ import annotations

import asyncio

from client.fake import FakeBroker, turns
from client.support import run
from leveret.client import connect


def test_a_publish_right_behind_confirm_select_counts(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect()).channel()
        selecting = asyncio.create_task(channel.confirm_select())
        await asyncio.sleep(0)
        first = channel.publish_nowait(b"1")
        await selecting
        second = channel.publish_nowait(b"2")
        assert first is not None and second is not None
        await turns()
        fake.confirm(1, 1)
        await turns()
        assert first.done() and not second.done()

    run(main())


def test_confirm_select_twice_at_once_is_sent_once(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect()).channel()
        await asyncio.gather(channel.confirm_select(), channel.confirm_select())
        assert len(fake.named("confirm.select")) == 1
        confirm = channel.publish_nowait(b"x")
        assert confirm is not None
        fake.confirm(1, 1)
        await confirm

    run(main())
