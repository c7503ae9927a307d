"""One event that concerns very many messages is dealt with over several turns of the loop, and nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.support import Client, World, consume
from leveret.broker.channel import Channel
from leveret.broker.leaving import AT_ONCE_MESSAGES
from leveret.broker.message import SLICE_MESSAGES
from leveret.broker.queue import Queue
from leveret.broker.settlement import AT_ONCE_MESSAGES as ONCE
from leveret.broker.transaction import Transaction
from leveret.errors import ChannelError

NOW = 1_000_000
HELD = 2 * ONCE + 500
MANY = 2 * SLICE_MESSAGES + 500


@pytest.fixture(params=["memory", "disk"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(None if request.param == "memory" else tmp_path)


def filled(world: World, count: int = MANY, **arguments: object) -> Queue:
    """A queue in which so many messages expire at NOW + 10, and one does not."""
    target = world.queue("q", **arguments)
    channel = world.client().channel()
    for _ in range(count):
        world.publish(channel, b"mortal", expiration="10")
    world.publish(channel, b"immortal")
    world.settle()
    return target


def test_what_expires_at_once_goes_slice_by_slice(world: World) -> None:
    target = filled(world)
    left = []
    for now in range(NOW + 10, NOW + 14):
        world.broker.at(now)
        left.append(target.backlog.count)
    assert left == [MANY + 1 - SLICE_MESSAGES, MANY + 1 - 2 * SLICE_MESSAGES, 1, 1]


def test_nothing_expired_is_delivered_in_between_and_the_rest_comes_by_itself(world: World) -> None:
    target = filled(world)
    world.broker.at(NOW + 10)
    client = world.client()
    consume(client.channel(), target)
    assert client.got == [] and target.loading
    for now in range(NOW + 11, NOW + 14):
        world.broker.at(now)
    assert client.bodies() == [b"immortal"]


def test_who_asks_for_one_message_waits_for_the_living(world: World) -> None:
    target = filled(world)
    world.broker.at(NOW + 10)
    assert target.get() is None and target.loading
    answered: list[bytes] = []

    def again() -> None:
        message = target.get()
        assert message is not None
        answered.append(message.body)

    target.when_loaded(again)
    for now in range(NOW + 11, NOW + 14):
        world.broker.at(now)
    assert answered == [b"immortal"]


def test_a_queue_deleted_in_between_is_left_alone(world: World) -> None:
    target = filled(world)
    world.broker.at(NOW + 10)
    world.broker.vhosts["/"].delete_queue(target)
    world.broker.at(NOW + 20)
    world.settle()
    assert world.failures == []


def test_what_a_new_limit_leaves_no_room_for_goes_slice_by_slice(world: World) -> None:
    target = filled(world)
    parked = world.queue("parked")
    policy = {
        "pattern": "q",
        "definition": {"max-length": 1, "dead-letter-exchange": "", "dead-letter-routing-key": "parked"},
    }
    world.broker.vhosts["/"].put_policy("policy", "short", policy)
    left = [target.backlog.count]
    for now in range(NOW + 1, NOW + 4):
        world.publish(world.client().channel(), b"new")
        world.broker.at(now)
        left.append(target.backlog.count)
    assert left == [MANY + 1 - SLICE_MESSAGES, MANY + 2 - 2 * SLICE_MESSAGES, 1, 1]
    assert parked.ready == MANY + 3


def test_a_large_purge_is_done_when_its_last_message_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    count = AT_ONCE_MESSAGES + 100
    target = world.queue()
    channel = world.client().channel()
    for _ in range(count):
        world.publish(channel, b"before")
    taker = world.client()
    consume(taker.channel(), target)
    world.settle()
    world.broker.disconnect(taker)
    began = NOW + 1 + count // ONCE
    for now in range(NOW + 1, began + 1):
        world.settle()
        world.broker.at(now)
    assert target.ready == count
    purged: list[int] = []
    target.purge(purged.append)
    world.publish(world.client().channel(), b"after")
    world.settle()
    assert target.ready == 1 and purged == []
    world.broker.at(began + 1)
    assert purged == [count]
    world.settle()
    world.store.close()
    survivor = World(tmp_path).broker.vhosts["/"].queues["q"]
    assert survivor.ready == 1


def test_a_large_queue_is_deleted_with_all_that_was_gathered(tmp_path: Path) -> None:
    world = World(tmp_path)
    target = world.queue()
    channel = world.client().channel(confirms=True)
    for _ in range(AT_ONCE_MESSAGES + 100):
        world.publish(channel, b"gathered")
    world.broker.vhosts["/"].delete_queue(target)
    world.broker.at(NOW + 1)
    world.settle()
    world.store.close()
    world = World(tmp_path)
    assert world.queue().ready == 0


@pytest.fixture
def held(tmp_path: Path) -> tuple[World, Queue, Client, Channel]:
    """One consumer holds HELD messages."""
    world = World(tmp_path)
    target = world.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="parked")
    world.queue("parked")
    publisher = world.client().channel()
    for number in range(HELD):
        world.publish(publisher, b"%06d" % number)
    client = world.client()
    channel = client.channel()
    consume(channel, target)
    world.settle()
    assert channel.unacked.count == HELD
    return world, target, client, channel


def later(world: World, *figures: Callable[[], int]) -> list[list[int]]:
    """What they are now, and in each of the next milliseconds."""
    seen = []
    for now in range(NOW, NOW + 5):
        world.broker.at(now)
        world.settle()
        seen.append([figure() for figure in figures])
    return seen


def test_one_acknowledgement_of_very_many_takes_several_turns(held: tuple[World, Queue, Client, Channel]) -> None:
    world, target, _, channel = held
    channel.ack(channel.last_tag, True)
    assert not channel.unacked.count
    assert later(world, lambda: target.unacked, lambda: target.acknowledged) == [
        [HELD - ONCE, ONCE],
        [HELD - 2 * ONCE, 2 * ONCE],
        [0, HELD],
        [0, HELD],
        [0, HELD],
    ]
    with pytest.raises(ChannelError):
        channel.ack(channel.last_tag, True)


def test_what_a_lost_connection_held_comes_back_bit_by_bit_and_in_order(
    held: tuple[World, Queue, Client, Channel],
) -> None:
    world, target, client, _ = held
    other = world.client()
    consume(other.channel(), target)
    world.broker.disconnect(client)
    assert later(world, lambda: len(other.got)) == [[ONCE], [2 * ONCE], [HELD], [HELD], [HELD]]
    assert target.unacked == HELD
    assert other.bodies() == [b"%06d" % number for number in range(HELD)]


def test_a_queue_may_go_while_its_messages_come_back(held: tuple[World, Queue, Client, Channel]) -> None:
    world, target, client, _ = held
    world.broker.disconnect(client)
    world.broker.vhosts["/"].delete_queue(target)
    later(world)
    world.store.close()
    assert world.failures == [] and list(World(world.store.directory).broker.vhosts["/"].queues) == ["parked"]


def test_very_many_rejected_at_once_are_all_parked(held: tuple[World, Queue, Client, Channel]) -> None:
    world, target, _, channel = held
    channel.nack(0, True, requeue=False)
    parked = world.broker.vhosts["/"].queues["parked"]
    assert target.unacked == HELD - SLICE_MESSAGES
    for now in range(NOW + 1, NOW + 2 + HELD // SLICE_MESSAGES):
        world.settle()
        world.broker.at(now)
    assert (parked.ready, target.unacked, target.ready) == (HELD, 0, 0)


def test_a_transaction_is_never_cut(held: tuple[World, Queue, Client, Channel]) -> None:
    _, target, _, channel = held
    channel.transaction = Transaction(channel)
    channel.ack(0, True)
    assert target.unacked == HELD
    channel.commit_settled()
    assert target.unacked == 0


def test_what_comes_later_waits_for_what_is_still_coming_back(held: tuple[World, Queue, Client, Channel]) -> None:
    """A sole consumer gets everything in order, also what is published in between, and so does basic.get."""
    world, target, client, _ = held
    world.broker.disconnect(client)
    publisher, other = world.client().channel(), world.client()
    world.publish(publisher, b"later")
    consume(other.channel(), target)
    world.settle()
    assert (len(other.got), target.loading, target.get()) == (ONCE, True, None)
    answered: list[bytes] = []

    def again() -> None:
        message = target.get()
        if message is None:
            target.when_loaded(again)
        else:
            answered.append(message.body)

    target.when_loaded(again)
    for now in range(NOW + 1, NOW + 5):
        world.publish(publisher, b"later")
        world.broker.at(now)
        world.settle()
    (asked,) = answered
    expected = [b"%06d" % number for number in range(HELD)]
    expected.remove(asked)
    assert other.bodies() == expected + [b"later"] * 5
    assert target.returning == 0


def test_another_queue_of_the_channel_goes_on_once_all_is_back(held: tuple[World, Queue, Client, Channel]) -> None:
    """Nobody looks which queues the messages are of: one that the channel got only once may wait, but not for ever."""
    world, target, client, channel = held
    fetched = world.queue("fetched")
    publisher = world.client().channel()
    world.publish(publisher, b"first")
    world.publish(publisher, b"one", key="fetched")
    message = fetched.get()
    assert message is not None
    channel.ack(channel.hold(message), False)
    world.broker.disconnect(client)
    world.publish(publisher, b"two", key="fetched")
    other = world.client()
    consume(other.channel(), fetched)
    later(world)
    assert other.bodies() == [b"two"]
    assert (target.returning, fetched.returning) == (0, 0)
