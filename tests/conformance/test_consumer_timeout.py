"""Acknowledgement timeout: a channel whose consumer holds a message too long is closed, and the message comes back.

Held to: RabbitMQ's consumers page, "Delivery Acknowledgement Timeout". Its 3.10 has one value for the whole node; a queue's
own came with 3.12, a consumer's own with 4.3.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from conformance.support import Inbox, channel_refused, drain, publish, ready, until
from conftest import Connect

TIMEOUT_MS = 2_000


OF_ITS_OWN = pytest.mark.not_on_rabbitmq("3.10 has one timeout for the whole node")


def told(timeout_ms: int) -> str:
    return (
        f"PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: {timeout_ms} ms. "
        "This timeout value can be configured, see consumers doc guide to learn more"
    )


def wait_for_the_end(channel: BlockingChannel) -> None:
    """Until the broker closes the channel; raises what it said."""
    reasons: list[Exception] = []
    channel._impl.add_on_close_callback(lambda _, reason: reasons.append(reason))
    until(lambda: bool(reasons), channel.connection)
    raise reasons[0]


@pytest.fixture(scope="module")
def impatient(broker_kind: type[Broker]) -> Iterator[Broker]:
    """A broker that waits two seconds for an acknowledgement."""
    own = broker_kind(management=False)
    own.consumer_timeout_ms = TIMEOUT_MS
    try:
        own.start()
        yield own
    finally:
        own.remove()


def test_who_holds_a_message_too_long_loses_the_channel_and_only_that(impatient: Broker, name: str) -> None:
    connection = impatient.connect()
    channel, other = connection.channel(), connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"x")
    inbox = Inbox(channel, name)
    inbox.take(1)
    with channel_refused(406, told(TIMEOUT_MS)):
        wait_for_the_end(channel)
    method, _, body = other.basic_get(name)
    assert (method.redelivered, body) == (True, b"x")
    connection.close()


def test_a_consumer_without_unacknowledged_messages_is_left_alone(impatient: Broker, name: str) -> None:
    connection = impatient.connect()
    idle, holding = connection.channel(), connection.channel()
    idle.queue_declare(name)
    idle.queue_declare(name + "-held")
    publish(idle, name, b"x")
    publish(idle, name + "-held", b"y")
    inbox = Inbox(idle, name)
    idle.basic_ack(inbox.take(1)[0].tag)
    Inbox(holding, name + "-held").take(1)
    until(lambda: not holding.is_open, connection)  # by then the idle one would have been closed as well
    assert idle.is_open
    connection.close()


@OF_ITS_OWN
@pytest.mark.parametrize("how", ["queue", "consumer"])
def test_a_delivery_kept_too_long_ends_the_channel(
    channel: BlockingChannel, connect: Connect, name: str, how: str
) -> None:
    value = {"x-consumer-timeout": 100}
    channel.queue_declare(name, arguments=value if how == "queue" else {})
    publish(channel, name, b"kept")
    holder = connect().channel()
    Inbox(holder, name, arguments=value if how == "consumer" else {}).take(1)
    with channel_refused(406, told(100)):
        wait_for_the_end(holder)
    method, _, body = channel.basic_get(name)
    assert (method.redelivered, body) == (True, b"kept")


@OF_ITS_OWN
def test_the_channel_is_ended_though_others_acknowledge(channel: BlockingChannel, connect: Connect, name: str) -> None:
    channel.queue_declare(name, arguments={"x-consumer-timeout": 100})
    publish(channel, name, b"kept", b"done")
    other = connect().channel()
    other.basic_qos(prefetch_count=1)
    holder = connect().channel()
    holder.basic_get(name)
    method, _, _ = other.basic_get(name)
    other.basic_ack(method.delivery_tag)
    with channel_refused(406, told(100)):
        wait_for_the_end(holder)
    assert (other.is_open, drain(channel, name)) == (True, [b"kept"])


@OF_ITS_OWN
def test_a_consumer_may_ask_for_no_timeout(channel: BlockingChannel, connect: Connect, name: str) -> None:
    """Leveret's own reading of 0, for tasks that take hours."""
    channel.queue_declare(name, arguments={"x-consumer-timeout": 50})
    channel.queue_declare(name + "-clock", arguments={"x-message-ttl": 200})
    publish(channel, name, b"x")
    inbox = Inbox(connect().channel(), name, arguments={"x-consumer-timeout": 0})
    (delivery,) = inbox.take(1)
    publish(channel, name + "-clock", b"x")
    until(lambda: ready(channel, name + "-clock") == 0)
    inbox.channel.basic_ack(delivery.tag)
    assert inbox.channel.queue_declare("", exclusive=True).method.queue


@OF_ITS_OWN
def test_a_consumer_without_acknowledgements_is_never_late(
    channel: BlockingChannel, connect: Connect, name: str
) -> None:
    channel.queue_declare(name, arguments={"x-consumer-timeout": 50})
    channel.queue_declare(name + "-clock", arguments={"x-message-ttl": 200})
    publish(channel, name, b"x")
    inbox = Inbox(connect().channel(), name, auto_ack=True)
    inbox.take(1)
    publish(channel, name + "-clock", b"x")
    until(lambda: ready(channel, name + "-clock") == 0)
    assert inbox.channel.queue_declare("", exclusive=True).method.queue
