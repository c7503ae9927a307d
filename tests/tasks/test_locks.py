"""Locks of unique tasks, on both brokers: whoever asks learns whose it is, also where many ask at the same time."""

from __future__ import annotations

import asyncio

from brokers import Broker
from leveret.client import connect
from leveret.errors import Duplicate
from leveret.tasks.limits import Lock
from leveret.tasks.locks import Locks


def test_what_another_is_refused_on_the_same_channel_does_not_take_the_holder_s_lock_away(
    broker: Broker, name: str
) -> None:
    """The refusal ends the channel, and so answers all that was asked on it."""

    async def main() -> None:
        async with await connect(broker.url) as connection:
            locks, lock = Locks(connection), Lock(f"lock.{name}", 60_000)
            await locks.take(lock, "mine")
            asked = [locks.take(lock, "mine" if number % 2 else f"other {number}") for number in range(20)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert answers[1::2] == [None] * 10
            assert [error.id for error in answers[::2] if isinstance(error, Duplicate)] == ["mine"] * 10
            await asyncio.gather(locks.give(lock, "mine"), locks.give(lock, "other"))
            await locks.take(lock, "other")
            await locks.give(lock, "other")

    asyncio.run(main())
