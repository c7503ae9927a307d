"""Acknowledgement timeout on virtual time: who holds a message too long loses the channel, and only that.

Held to: RabbitMQ's page on consumers (acknowledgement timeout).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.support import Client, World
from leveret.broker import basic
from leveret.broker.channel import Channel
from leveret.broker.queue import Queue

MINUTE_MS = 60_000


@pytest.fixture
def world() -> Iterator[World]:
    one = World(None, consumer_timeout_ms=30 * MINUTE_MS)
    yield one
    one.store.close()


def holding(world: World, target: Queue, **arguments: object) -> tuple[Client, Channel]:
    """A consumer that takes all there is and acknowledges nothing."""
    client = world.client()
    channel = client.channel()
    given = {key.replace("_", "-"): value for key, value in arguments.items()}
    basic.start(basic.consume(channel, target, "c", False, False, given))
    return client, channel


def after(world: World, minutes: float) -> None:
    world.broker.at(1_000_000 + int(minutes * MINUTE_MS))


def test_after_30_minutes_the_channel_is_closed_and_the_message_back(world: World) -> None:
    target = world.queue()
    client, _ = holding(world, target)
    world.publish(world.client().channel(), b"x")
    after(world, 29.9)
    assert client.closed == []
    after(world, 30)
    text = (
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. "
        "This timeout value can be configured, see consumers doc guide to learn more"
    )
    assert client.closed == [(1, 406, text)]
    assert target.ready == 1


def test_a_consumer_that_acknowledges_in_time_is_left_alone(world: World) -> None:
    target = world.queue()
    client, channel = holding(world, target)
    sender = world.client().channel()
    for number in range(1, 10):
        world.publish(sender, b"x")
        after(world, number * 20)
        channel.ack(number, False)
    after(world, 1000)
    assert client.closed == []


def test_an_old_delivery_counts_behind_which_newer_ones_are_acknowledged(world: World) -> None:
    target = world.queue()
    client, channel = holding(world, target)
    sender = world.client().channel()
    world.publish(sender, b"old")
    after(world, 20)
    world.publish(sender, b"new")
    channel.ack(2, False)
    after(world, 30)
    assert [number for number, _, _ in client.closed] == [1]


@pytest.mark.parametrize(("queues", "consumers", "minutes"), [(10, None, 10), (10, 5, 5), (None, 5, 5), (5, 10, 10)])
def test_the_consumers_own_value_goes_before_the_queues(
    world: World, queues: int | None, consumers: int | None, minutes: int
) -> None:
    target = world.queue(**({} if queues is None else {"x_consumer_timeout": queues * MINUTE_MS}))
    client, _ = holding(world, target, **({} if consumers is None else {"x_consumer_timeout": consumers * MINUTE_MS}))
    world.publish(world.client().channel(), b"x")
    after(world, minutes - 0.1)
    assert client.closed == []
    after(world, minutes)
    assert [code for _, code, _ in client.closed] == [406]


def test_0_lets_a_consumer_hold_a_message_for_ever(world: World) -> None:
    client, _ = holding(world, world.queue(), x_consumer_timeout=0)
    world.publish(world.client().channel(), b"x")
    after(world, 100_000)
    assert client.closed == []


def test_a_message_taken_by_get_counts_too(world: World) -> None:
    target, client = world.queue(), world.client()
    world.publish(world.client().channel(), b"x")
    assert basic.get(client.channel(), target, False) is not None
    after(world, 30)
    assert [code for _, code, _ in client.closed] == [406]


def test_a_timeout_is_no_failure_of_the_message(world: World) -> None:
    target = world.queue(x_queue_type="quorum")
    client, _ = holding(world, target)
    world.publish(world.client().channel(), b"x")
    after(world, 30)
    message = target.backlog.head()
    assert client.closed and message is not None and message.redelivered and message.deliveries == 0


def test_a_short_timeout_counts_on_a_channel_that_holds_others_for_long(world: World) -> None:
    target, quick = world.queue(), world.queue("quick", x_consumer_timeout=MINUTE_MS)
    client, channel = holding(world, target)
    sender = world.client().channel()
    world.publish(sender, b"long")
    basic.start(basic.consume(channel, quick, "quick", False, False, {}))
    world.publish(sender, b"short", "quick")
    after(world, 0.9)
    assert client.closed == []
    after(world, 1)
    assert [code for _, code, _ in client.closed] == [406]


def test_one_timer_at_a_time_looks_at_a_channel(world: World) -> None:
    """Whatever is set earlier takes the place of what was set before, and the later one is not forgotten."""
    target, quick = world.queue(), world.queue("quick", x_consumer_timeout=MINUTE_MS)
    client, channel = holding(world, target)
    sender = world.client().channel()
    world.publish(sender, b"long")
    basic.start(basic.consume(channel, quick, "quick", False, False, {}))
    world.publish(sender, b"short", "quick")
    channel.ack(2, False)
    for minute in range(1, 30):
        after(world, minute)
        assert (len(client.closed), len(world.broker.timers._heap) <= 2) == (0, True)
    after(world, 31)
    assert [code for _, code, _ in client.closed] == [406]
