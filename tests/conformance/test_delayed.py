"""The delayed-message exchange, as RabbitMQ's plugin rabbitmq_delayed_message_exchange describes it in its README,
and rabbitmq.com/blog/2015/04/16/scheduling-messages-with-rabbitmq.

The plugin comes with no RabbitMQ, so these run on Leveret only; when what happens is on virtual time in tests/broker.
"""

from __future__ import annotations

import time
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from conformance.support import Confirms, Inbox, bound_queue, channel_refused, drain, ready, until

pytestmark = pytest.mark.not_on_rabbitmq("the plugin is not part of RabbitMQ's distribution")
KIND = "x-delayed-message"


def _declare(channel: BlockingChannel, name: str, inner: str = "direct", **how: Any) -> None:
    channel.exchange_declare(name, KIND, arguments={"x-delayed-type": inner}, **how)


def _delayed(delay_ms: Any, **more: Any) -> pika.BasicProperties:
    return pika.BasicProperties(headers={"x-delay": delay_ms}, delivery_mode=2, **more)


def test_messages_come_by_their_delays(channel: BlockingChannel, name: str) -> None:
    _declare(channel, name)
    inbox = Inbox(channel, bound_queue(channel, name, "k"), auto_ack=True)
    begin = time.monotonic()
    for delay_ms in (300, 100, 200):
        channel.basic_publish(name, "k", b"%d" % delay_ms, _delayed(delay_ms))
    deliveries = inbox.take(3)
    assert time.monotonic() - begin >= 0.299
    assert [delivery.body for delivery in deliveries] == [b"100", b"200", b"300"]
    assert [delivery.properties.headers for delivery in deliveries] == [
        {"x-delay": -100},
        {"x-delay": -200},
        {"x-delay": -300},
    ]


def test_without_delay_it_is_an_exchange_of_its_inner_type(channel: BlockingChannel, name: str) -> None:
    _declare(channel, name, "topic")
    queue = bound_queue(channel, name, "a.*")
    channel.basic_publish(name, "a.b", b"plain")
    channel.basic_publish(name, "a.b", b"zero", _delayed(0))
    channel.basic_publish(name, "a.b", b"negative", _delayed(-1000))
    channel.basic_publish(name, "a.b", b"too much", _delayed(2**32))
    channel.basic_publish(name, "b.b", b"not bound")
    assert drain(channel, queue) == [b"plain", b"zero", b"negative", b"too much"]


@pytest.mark.parametrize("inner", ["direct", "fanout", "topic", "headers", "x-consistent-hash"])
def test_every_type_may_be_the_inner_one(channel: BlockingChannel, name: str, inner: str) -> None:
    _declare(channel, name, inner)
    inbox = Inbox(channel, bound_queue(channel, name, "1"), auto_ack=True)
    channel.basic_publish(name, "1", b"x", _delayed(30))
    assert inbox.take(1)[0].body == b"x"


def test_bindings_to_exchanges_are_followed_at_its_time(channel: BlockingChannel, name: str) -> None:
    _declare(channel, name, "fanout")
    channel.exchange_declare(name + "-next", "direct")
    channel.exchange_bind(name + "-next", name, "")
    inbox = Inbox(channel, bound_queue(channel, name + "-next", "k"), auto_ack=True)
    channel.basic_publish(name, "k", b"x", _delayed(30))
    assert inbox.take(1)[0].method.exchange == name


def test_a_mandatory_message_with_a_delay_is_not_returned(channel: BlockingChannel, name: str) -> None:
    """Nobody knows yet whether it can be routed. RabbitMQ's plugin returns it, and delivers it later all the same."""
    _declare(channel, name)
    confirms = Confirms(channel)
    confirms.publish(name, "nobody", b"x", mandatory=True, properties=_delayed(20))
    confirms.publish(name, "nobody", b"x", mandatory=True, properties=_delayed(0))
    confirms.wait(2)
    assert [kind for kind, _ in confirms.events if kind == "return"] == ["return"]


def test_confirmed_messages_survive_a_crash_and_keep_their_time(own_broker: Broker, name: str) -> None:
    channel = own_broker.connect().channel()
    _declare(channel, name, durable=True)
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, name, "k")
    confirms = Confirms(channel)
    confirms.publish(name, "k", b"soon", properties=_delayed(1))
    confirms.publish(name, "k", b"late", properties=_delayed(3_600_000))
    for number in range(50):
        confirms.publish(name, "k", b"%d" % number, properties=_delayed(2000 + number))
    confirms.wait(52)
    own_broker.kill()
    own_broker.start()
    channel = own_broker.connect().channel()
    inbox = Inbox(channel, name)
    assert [delivery.body for delivery in inbox.take(51)] == [b"soon", *(b"%d" % number for number in range(50))]
    assert inbox.settle() == []
    assert inbox.deliveries == []


def test_deleting_the_exchange_drops_what_waits(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    _declare(channel, name)
    queue = bound_queue(channel, name, "k")
    channel.basic_publish(name, "k", b"x", _delayed(50))
    channel.exchange_delete(name)
    _declare(channel, name)
    channel.queue_bind(queue, name, "k")
    channel.basic_publish(name, "k", b"y", _delayed(100))
    until(lambda: ready(channel, queue) > 0)
    assert drain(channel, queue) == [b"y"]


@pytest.mark.parametrize("arguments", [None, {"x-delayed-type": 5}, {"other": "direct"}])
def test_the_inner_type_is_required(channel: BlockingChannel, name: str, arguments: dict[str, Any] | None) -> None:
    text = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"
    with channel_refused(406, text):
        channel.exchange_declare(name, KIND, arguments=arguments)


def test_it_cannot_be_its_own_inner_type(channel: BlockingChannel, name: str) -> None:
    text = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
    with channel_refused(406, text):
        _declare(channel, name, KIND)


def test_an_unknown_inner_type_is_refused_like_an_unknown_type(channel: BlockingChannel, name: str) -> None:
    with channel_refused(406, "PRECONDITION_FAILED - unknown exchange type 'wat'"):
        _declare(channel, name, "wat")


def test_the_inner_types_own_refusals(channel: BlockingChannel, name: str) -> None:
    _declare(channel, name, "x-consistent-hash")
    with channel_refused(406, "PRECONDITION_FAILED - The binding key must be greater than 0"):
        bound_queue(channel, name, "0")
