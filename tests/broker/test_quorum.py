"""Quorum queues on virtual time: what counts as a failure, what receivers are told, where the limit is.

Held to: RabbitMQ 4.3's pages on quorum queues (poison messages) and on negative acknowledgements.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.support import Client, World, consume
from leveret.broker import basic
from leveret.broker.channel import Channel
from leveret.broker.queue import Queue
from leveret.errors import ConnectionError
from leveret.wire.properties import decode_properties


@pytest.fixture
def target(world: World) -> Queue:
    return world.queue(x_queue_type="quorum")


def fail(world: World, target: Queue) -> None:
    """A consumer takes the first message and dies."""
    client = world.client()
    consume(client.channel(), target, prefetch=1)
    world.settle()
    assert client.got, "there was nothing to take"
    world.broker.disconnect(client)


def told(target: Queue) -> object:
    """The count that the next receiver sees."""
    message = target.backlog.head()
    assert message is not None
    headers = decode_properties(target.header_of(message), 12).headers
    return None if headers is None else headers.get("x-delivery-count")


def taken(world: World, target: Queue) -> tuple[Client, Channel]:
    client = world.client()
    channel = client.channel()
    consume(channel, target, prefetch=1)
    return client, channel


def test_a_consumer_that_dies_is_counted(world: World, target: Queue) -> None:
    world.publish(world.client().channel(), b"x")
    assert told(target) is None
    for count in range(1, 4):
        fail(world, target)
        assert told(target) == count


def test_a_reject_is_counted_and_a_nack_is_not(world: World, target: Queue) -> None:
    world.publish(world.client().channel(), b"x")
    client, channel = taken(world, target)
    basic.cancel(channel, next(iter(channel.consumers)))
    channel.nack(1, False, True)
    assert told(target) is None and client.got
    client, channel = taken(world, target)
    basic.cancel(channel, next(iter(channel.consumers)))
    channel.reject(1, True)
    assert told(target) == 1


def test_after_20_redeliveries_it_is_given_up(world: World, target: Queue) -> None:
    world.publish(world.client().channel(), b"x")
    for _ in range(20):
        fail(world, target)
    assert target.ready == 1
    fail(world, target)
    assert target.ready == 0


@pytest.mark.parametrize(("limit", "deliveries"), [(0, 1), (2, 3)])
def test_a_limit_of_its_own_parks_with_the_reason(world: World, limit: int, deliveries: int) -> None:
    dead = world.queue("dead")
    more = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"}
    target = world.queue(x_queue_type="quorum", x_delivery_limit=limit, **more)
    world.publish(world.client().channel(), b"x")
    for _ in range(deliveries):
        assert target.ready == 1
        fail(world, target)
    message = dead.get()
    assert message is not None and target.ready == 0
    headers = decode_properties(message.header, 12).headers
    assert headers is not None and headers["x-first-death-reason"] == "delivery_limit"


def test_minus_1_is_no_limit(world: World) -> None:
    target = world.queue(x_queue_type="quorum", x_delivery_limit=-1)
    world.publish(world.client().channel(), b"x")
    for _ in range(30):
        fail(world, target)
    assert told(target) == 30


def test_the_count_survives_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    target = world.queue(x_queue_type="quorum")
    world.publish(world.client().channel(), b"x")
    fail(world, target)
    fail(world, target)
    world.settle()
    world.store.close()
    world = World(tmp_path)
    target = world.broker.vhosts["/"].queues["q"]
    target.backlog.head()
    world.settle()
    assert told(target) == 2
    world.store.close()


def test_a_limit_for_the_whole_channel_is_refused(world: World, target: Queue) -> None:
    channel = world.client().channel()
    channel.limit_changed(1)
    with pytest.raises(ConnectionError) as refused:
        consume(channel, target)
    text = "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"
    assert (refused.value.code, refused.value.text) == (540, text)


def test_classic_queues_do_not_count(world: World) -> None:
    target = world.queue()
    world.publish(world.client().channel(), b"x")
    for _ in range(30):
        fail(world, target)
    assert told(target) is None
