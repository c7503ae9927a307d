"""Quorum queues of one node: the delivery count and its limit, what they refuse.

Held to: RabbitMQ's quorum queues page (poison message handling, feature comparison), and for 4.3 its nack page.
"""

from __future__ import annotations

from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.support import PERSISTENT, Inbox, channel_refused, connection_refused, drain, publish, ready, until
from conftest import Connect

QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def quorum(channel: BlockingChannel, name: str) -> str:
    channel.queue_declare(name, durable=True, arguments=QUORUM)
    return name


def took(connect: Connect, queue: str) -> tuple[BlockingChannel, Any, pika.BasicProperties]:
    """The first message, held by a channel of a connection of its own."""
    holder = connect().channel()
    got: list[tuple[Any, Any]] = []

    def taken() -> bool:
        method, properties, _ = holder.basic_get(queue)
        if method is not None:
            got.append((method, properties))
        return bool(got)

    until(taken)
    return holder, *got[0]


def count(properties: pika.BasicProperties) -> object:
    return (properties.headers or {}).get("x-delivery-count")


def test_the_first_delivery_has_no_count(channel: BlockingChannel, connect: Connect, quorum: str) -> None:
    publish(channel, quorum, b"x", properties=PERSISTENT)
    _, method, properties = took(connect, quorum)
    assert (method.redelivered, count(properties) or 0) == (False, 0)


def test_each_reject_is_counted(channel: BlockingChannel, connect: Connect, quorum: str) -> None:
    publish(channel, quorum, b"x", properties=PERSISTENT)
    for counted in range(3):
        holder, method, properties = took(connect, quorum)
        assert (method.redelivered, count(properties) or 0) == (counted > 0, counted)
        holder.basic_reject(method.delivery_tag, requeue=True)


def test_a_connection_that_ends_is_counted(channel: BlockingChannel, connect: Connect, quorum: str) -> None:
    publish(channel, quorum, b"x", properties=PERSISTENT)
    holder, _, _ = took(connect, quorum)
    holder.connection.close()
    _, method, properties = took(connect, quorum)
    assert (method.redelivered, count(properties)) == (True, 1)


@pytest.mark.not_on_rabbitmq(
    "3.10 counts every requeue; from 4.3 on basic.nack says that the message was not worked on"
)
def test_a_nack_is_not_counted(channel: BlockingChannel, connect: Connect, quorum: str) -> None:
    publish(channel, quorum, b"x", properties=PERSISTENT)
    holder, method, _ = took(connect, quorum)
    holder.basic_nack(method.delivery_tag, requeue=True)
    _, method, properties = took(connect, quorum)
    assert (method.redelivered, count(properties) or 0) == (True, 0)


@pytest.mark.parametrize("dead_lettered", [False, True])
def test_beyond_the_limit_it_is_given_up(
    channel: BlockingChannel, connect: Connect, name: str, dead_lettered: bool
) -> None:
    parked = name + "-parked"
    channel.queue_declare(parked)
    more = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": parked} if dead_lettered else {}
    channel.queue_declare(name, durable=True, arguments={**QUORUM, "x-delivery-limit": 2, **more})
    publish(channel, name, b"x", properties=PERSISTENT)
    for _ in range(3):
        holder, method, _ = took(connect, name)
        holder.basic_reject(method.delivery_tag, requeue=True)
        holder.connection.close()
    if dead_lettered:
        until(lambda: ready(channel, parked) == 1)
        _, properties, _ = channel.basic_get(parked, auto_ack=True)
        assert properties.headers["x-death"][0]["reason"] == "delivery_limit"
    until(lambda: ready(channel, name) == 0)
    assert drain(channel, name) == []


@pytest.mark.not_on_rabbitmq("3.10 has no limit unless one is declared; 4.x has 20")
def test_the_limit_is_20_unless_another_is_declared(channel: BlockingChannel, quorum: str) -> None:
    publish(channel, quorum, b"x", properties=PERSISTENT)
    deliveries = 0
    while (got := channel.basic_get(quorum))[0] is not None:
        deliveries += 1
        channel.basic_reject(got[0].delivery_tag, requeue=True)
    assert deliveries == 21


def test_a_limit_for_the_whole_channel_is_refused(channel: BlockingChannel, quorum: str) -> None:
    channel.basic_qos(prefetch_count=1, global_qos=True)
    text = f"NOT_IMPLEMENTED - queue '{quorum}' in vhost '/' does not support global qos"
    with connection_refused(540, text):
        Inbox(channel, quorum)


def test_messages_expire(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True, arguments={**QUORUM, "x-message-ttl": 20})
    publish(channel, name, b"x", properties=PERSISTENT)
    until(lambda: ready(channel, name) == 0)


def test_what_comes_back_is_delivered_before_what_waits(channel: BlockingChannel, connect: Connect, name: str) -> None:
    channel.queue_declare(name, durable=True, arguments={**QUORUM, "x-delivery-limit": 5})
    publish(channel, name, b"1", b"2", b"3", properties=PERSISTENT)
    holder, method, _ = took(connect, name)
    holder.basic_reject(method.delivery_tag, requeue=True)
    until(lambda: ready(channel, name) == 3)
    assert drain(channel, name) == [b"1", b"2", b"3"]


def test_nobody_gets_past_a_single_active_consumer(channel: BlockingChannel, name: str) -> None:
    """https://www.rabbitmq.com/docs/consumers#single-active-consumer"""
    channel.queue_declare(name, durable=True, arguments={**QUORUM, "x-single-active-consumer": True})
    text = (
        f"RESOURCE_LOCKED - cannot obtain access to locked queue '{name}' in vhost '/'. "
        "basic.get operations are not supported by quorum queues with single active consumer"
    )
    with channel_refused(405, text):
        channel.basic_get(name)
