"""What the simulation has found, each told as shortly as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from leveret.client import connect
from simulation.actors import URL
from simulation.workers import DILIGENT, Habits
from simulation.world import World

HOLDS = Habits(forgets=1.0)


@pytest.fixture
def world() -> Iterator[World]:
    world = World(1)
    yield world
    world.close()


def test_what_was_declared_is_there_after_a_crash(world: World) -> None:
    """The answer came before the commit."""

    async def declare(name: str) -> None:
        channel = await (await connect(URL)).channel()
        await channel.queue_declare(name, durable=True)

    for number in range(10):
        world.do(declare(f"new{number}"))
        world.crash()
        world.start()
        assert world.server is not None
        assert f"new{number}" in world.server.broker.vhosts["/"].queues


def test_a_declaration_is_not_answered_while_the_disk_is_full(world: World) -> None:
    world.fill_disk(True)

    async def declare() -> None:
        channel = await (await connect(URL)).channel()
        answer = asyncio.ensure_future(channel.queue_declare("new", durable=True))
        await asyncio.sleep(5)
        assert not answer.done()
        world.fill_disk(False)
        await answer

    world.do(declare())


def test_a_broker_that_stops_hands_nothing_from_one_worker_to_the_next(world: World) -> None:
    """Each of them was counted: with as many workers as the limit allows deliveries, a message was given up for dead."""
    world.publish("counted", 1)
    world.run(1)
    for _ in range(10):
        world.hire("counted", 1, HOLDS)
    world.run(1)
    world.stop()
    world.start()
    world.run(10)
    (fate,) = world.model.fates.values()
    assert [hold.count for hold in fate.holds] == [0, 0]


def test_what_waits_behind_a_stuck_commit_is_found_when_it_is_there(world: World) -> None:
    """A read that came too early found nothing, and the queue took that for all there is."""
    world.publish("ranked", 80, 100_000)
    world.run(1)
    world.crash()
    world.start()
    world.run(5)
    world.fill_disk(True)
    for _ in range(20):
        world.publish("ranked", 20)
        world.run(0.0005)
    world.hire("ranked", 20, DILIGENT)
    world.run(30)
    world.finish()


def test_a_connection_that_both_sides_close_while_an_answer_is_owed(world: World) -> None:
    """Both close, and the client's wish had to wait: nobody is left to be answered."""
    world.fill_disk(True)

    async def leave() -> None:
        connection = await connect(URL, reconnect=False)
        channel = await connection.channel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await channel.queue_declare("new", durable=True)
        await connection.close(timeout_s=0.1)

    world.do(leave())
    world.fill_disk(False)
    world.stop()
