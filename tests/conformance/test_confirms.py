"""Publisher confirms: every message is confirmed once, after what it asks for has been done.

rabbitmq.com/docs/confirms (publisher confirms), docs/publishers, docs/reliability.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import PERSISTENT, Confirms, channel_refused, drain, ready, until

Connect = Callable[..., BlockingConnection]


def test_confirms_count_from_one_on_each_channel(connection: BlockingConnection, name: str) -> None:
    for _ in range(2):
        channel = connection.channel()
        channel.queue_declare(name)
        channel.basic_publish("", name, b"before confirm.select: not counted")
        confirms = Confirms(channel)
        confirms.publish("", name, b"1")
        confirms.wait(1)
        assert confirms.acked == {1}


def test_every_one_of_many_is_confirmed_once_and_none_is_lost(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True)
    confirms = Confirms(channel)
    sent = [b"%d" % number for number in range(1000)]
    for body in sent:
        confirms.publish("", name, body)
    confirms.wait(1000)
    assert confirms.acked == set(range(1, 1001)) and not confirms.nacked
    assert drain(channel, name) == sent


def test_an_unroutable_message_is_confirmed(channel: BlockingChannel, name: str) -> None:
    confirms = Confirms(channel)
    confirms.publish("amq.direct", name, b"x")
    confirms.wait(1)
    assert confirms.events == [("ack", 1)]


def test_the_return_comes_before_the_confirm(channel: BlockingChannel, name: str) -> None:
    confirms = Confirms(channel)
    confirms.publish("amq.direct", name, b"x", mandatory=True)
    confirms.wait(1)
    assert confirms.events == [("return", 312), ("ack", 1)]


def test_a_message_for_several_queues_is_confirmed_once(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    for suffix in ("-durable", "-transient", "-third"):
        channel.queue_declare(name + suffix, durable=suffix == "-durable")
        channel.queue_bind(name + suffix, name, "")
    confirms = Confirms(channel)
    for _ in range(20):
        confirms.publish(name, "", b"x")
    confirms.wait(20)
    assert confirms.acked == set(range(1, 21))
    assert [ready(channel, name + suffix) for suffix in ("-durable", "-transient", "-third")] == [20] * 3


def test_a_message_consumed_at_once_is_confirmed(connect: Connect, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True)
    consumer = connect().channel()
    consumer.basic_consume(name, lambda *_: None, auto_ack=True)
    confirms = Confirms(channel)
    for _ in range(10):
        confirms.publish("", name, b"x")
    confirms.wait(10)
    assert confirms.acked == set(range(1, 11))


def test_a_full_queue_that_rejects_nacks(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    confirms = Confirms(channel)
    for number in range(4):
        confirms.publish("", name, b"%d" % number)
    confirms.wait(4)
    assert (confirms.acked, confirms.nacked) == ({1, 2}, {3, 4})
    assert drain(channel, name) == [b"0", b"1"]


def test_confirm_select_twice_goes_on_counting(channel: BlockingChannel, name: str) -> None:
    confirms = Confirms(channel)
    confirms.publish("", name, b"x")
    confirms.wait(1)
    again: list[Any] = []
    channel._impl._rpc(pika.spec.Confirm.Select(), again.append, [pika.spec.Confirm.SelectOk])
    until(lambda: bool(again), channel.connection)
    confirms.publish("", name, b"y")
    confirms.wait(2)
    assert confirms.acked == {1, 2}


def test_a_confirm_channel_cannot_become_transactional(channel: BlockingChannel) -> None:
    channel.confirm_delivery()
    with channel_refused(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
        channel.tx_select()


def test_a_transactional_channel_cannot_become_a_confirm_channel(channel: BlockingChannel) -> None:
    channel.tx_select()
    with channel_refused(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
        channel.confirm_delivery()


@pytest.mark.parametrize("durable", [True, False])
def test_a_confirmed_message_can_be_got_on_another_channel(
    connection: BlockingConnection, name: str, durable: bool
) -> None:
    channel = connection.channel()
    channel.queue_declare(name, durable=durable)
    channel.confirm_delivery()
    channel.basic_publish("", name, b"x", PERSISTENT)
    assert drain(connection.channel(), name) == [b"x"]
