"""Message priorities: strict between levels, in order within one, kept over paging and restarts.

Held to: RabbitMQ's page on priority queues.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from broker.support import World, consume
from leveret.broker import level
from leveret.broker.queue import Queue


def fill(world: World, *priorities: int | None) -> None:
    """One message each, whose body says its priority and its number."""
    sender = world.client().channel()
    for number, priority in enumerate(priorities):
        world.publish(sender, b"%d/%d" % (priority or 0, number), priority=priority)


def taken(world: World, target: Queue) -> list[bytes]:
    """What a consumer that acknowledges each message gets, in order."""
    client = world.client()
    channel = client.channel()
    consume(channel, target, prefetch=1)
    world.settle()
    while channel.unacked.count:
        channel.ack(0, True)
        world.settle()
    return client.bodies()


def test_the_highest_goes_first_and_in_order_within_a_priority(world: World) -> None:
    target = world.queue(x_max_priority=5)
    fill(world, 1, 5, None, 5, 9, 1)
    assert taken(world, target) == [b"5/1", b"5/3", b"9/4", b"1/0", b"1/5", b"0/2"]


def test_a_returned_message_takes_its_place_within_its_priority(world: World) -> None:
    target, client = world.queue(x_max_priority=3), world.client()
    fill(world, 1, 1, 2)
    channel = client.channel()
    consume(channel, target)
    fill(world, 3)
    channel.reject(2, True)
    assert client.bodies() == [b"2/2", b"1/0", b"1/1", b"3/0", b"1/0"]
    world.broker.disconnect(client)
    assert taken(world, target) == [b"3/0", b"2/2", b"1/0", b"1/1"]


def test_each_priority_expires_at_its_own_front(world: World) -> None:
    target = world.queue(x_max_priority=2)
    sender = world.client().channel()
    world.publish(sender, b"high", priority=2)
    world.publish(sender, b"low", priority=1, expiration="1000")
    world.broker.at(1_001_000)
    assert target.ready == 1 and taken(world, target) == [b"high"]


def test_what_is_over_the_limit_is_dropped_from_the_front(world: World) -> None:
    target = world.queue(x_max_priority=2, x_max_length=2)
    fill(world, 2, 1, 0)
    assert taken(world, target) == [b"1/1", b"0/2"]


@pytest.mark.parametrize("restarted", [False, True])
def test_order_holds_when_most_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: bool) -> None:
    monkeypatch.setattr(level, "WINDOW_MESSAGES", 20)
    monkeypatch.setattr(level, "WINDOW_MESSAGES_MIN", 5)
    world = World(tmp_path)
    priorities = [random.Random(7).randrange(4) for _ in range(500)]
    target = world.queue(x_max_priority=3)
    fill(world, *priorities)
    if restarted:
        world.settle()
        world.store.close()
        world = World(tmp_path)
        target = world.broker.vhosts["/"].queues["q"]
    assert target.ready == 500
    expected = sorted(enumerate(priorities), key=lambda pair: -pair[1])
    assert taken(world, target) == [b"%d/%d" % (priority, number) for number, priority in expected]
    assert target.ready == 0
    world.store.close()


def test_a_deleted_queues_priorities_leave_nothing_behind(tmp_path: Path) -> None:
    world = World(tmp_path)
    fill_into = world.queue(x_max_priority=3)
    fill(world, 0, 1, 2, 3)
    world.settle()
    world.broker.vhosts["/"].delete_queue(fill_into)
    world.settle()
    world.store.close()
    world = World(tmp_path)
    assert world.broker.vhosts["/"].queues == {}
    target = world.queue(x_max_priority=3)
    fill(world, 3)
    assert taken(world, target) == [b"3/0"]
    world.store.close()


def test_a_purge_drops_every_priority(tmp_path: Path) -> None:
    world = World(tmp_path)
    target = world.queue(x_max_priority=3)
    fill(world, 0, 1, 2, 3)
    world.settle()
    purged: list[int] = []
    target.purge(purged.append)
    assert purged == [4] and target.ready == 0
    fill(world, 1)
    assert taken(world, target) == [b"1/0"]
    world.store.close()
