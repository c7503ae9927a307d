"""The places of a concurrency limit as workers take and give them: never too many, kept over a lost connection, free without one."""

from __future__ import annotations

import asyncio

from brokers import Broker
from client.proxy import Proxy
from client.support import Signal, run, swift
from leveret.client import connect
from leveret.tasks.lane import Lane
from leveret.worker.permits import Permit, Permits, Place


def place(name: str, most: int) -> Place:
    return Place(f"leveret.limit.permits.{name}", most, Lane(f"leveret.lane.{name}", home=name))


def test_there_are_as_many_places_as_are_said_and_one_that_is_given_back_is_free(broker: Broker, name: str) -> None:
    async def main() -> None:
        two = place(name, 2)
        async with await connect(broker.url) as first, await connect(broker.url) as second:
            ours, theirs = Permits(first), Permits(second)
            mine, other = await ours.take(two), await theirs.take(two)
            assert mine is not None and other is not None
            assert await ours.take(two) is None and await theirs.take(two) is None
            assert not await ours.free(two)
            await theirs.give(other)
            assert await ours.free(two)
            again = await ours.take(two)
            assert again is not None
            await ours.give(mine)
            await ours.give(again)

    run(main())


def test_of_many_who_come_together_never_more_get_one(broker: Broker, name: str) -> None:
    async def main() -> None:
        three = place(name, 3)
        connections = [await connect(broker.url) for _ in range(4)]
        everybody = [Permits(connection) for connection in connections]
        for _ in range(10):
            taken = await asyncio.gather(*(one.take(three) for one in everybody for _ in range(5)))
            held = [(number // 5, permit) for number, permit in enumerate(taken) if permit is not None]
            assert len(held) <= 3
            for number, permit in held:
                await everybody[number].give(permit)
        for connection in connections:
            await connection.close()

    run(main())


def test_a_place_is_kept_over_a_lost_connection_and_free_when_that_is_closed(broker: Broker, name: str) -> None:
    async def main() -> None:
        one = place(name, 1)
        async with Proxy(broker.port) as proxy, await connect(broker.url) as other:
            connection = await connect(proxy.url, backoff=swift())
            restored = Signal()
            connection.on_reconnect = restored
            ours, theirs = Permits(connection), Permits(other)
            held = await ours.take(one)
            assert held is not None
            proxy.cut()
            await restored.wait()
            assert await theirs.take(one) is None
            await connection.close()
            assert await until_taken(theirs, one) is not None

    run(main())


async def until_taken(permits: Permits, wanted: Place) -> Permit | None:
    """A broker may notice a moment later that a connection is gone."""
    for _ in range(500):
        permit = await permits.take(wanted)
        if permit is not None:
            return permit
        await asyncio.sleep(0.02)
    return None


def test_who_has_a_place_hears_that_somebody_waits(broker: Broker, name: str) -> None:
    async def main() -> None:
        one = place(name, 1)
        async with await connect(broker.url) as first, await connect(broker.url) as second:
            ours, theirs = Permits(first), Permits(second)
            held = await ours.take(one)
            assert held is not None and not ours.wanted(one)
            await theirs.tell(one)
            for _ in range(500):
                if ours.wanted(one):
                    break
                await asyncio.sleep(0.02)
            assert ours.wanted(one)
            ours.nobody(one)
            assert not ours.wanted(one)
            await ours.give(held)

    run(main())


def test_nothing_is_remembered_of_places_that_were_given_back(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with await connect(broker.url) as connection:
            permits = Permits(connection)
            for number in range(5):
                one = place(f"{name}.{number}", 1)
                permit = await permits.take(one)
                assert permit is not None and one.name in connection.topology.queues
                await permits.give(permit)
                assert one.name not in connection.topology.queues

    run(main())
