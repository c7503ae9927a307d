"""What is in a message: bodies of every size, all properties, headers of every type, all unchanged.

AMQP 0-9-1 sections 4.2.5 (fields) and 4.2.6 (content framing); rabbitmq.com/docs/publishers (message properties) and
rabbitmq.com/amqp-0-9-1-errata (field types).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import PERSISTENT, Inbox, publish

Connect = Callable[..., BlockingConnection]
FRAME_MAX = 131_072
MIB = 1024 * 1024


def body_of(size: int) -> bytes:
    """Bytes that differ from each other, so that a frame lost or swapped shows."""
    block = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1024))
    return (block * (size // len(block) + 1))[:size]


@pytest.mark.parametrize(
    "size", [0, 1, 4096, FRAME_MAX - 8, FRAME_MAX - 7, FRAME_MAX, 2 * (FRAME_MAX - 8), MIB, 10 * MIB]
)
@pytest.mark.parametrize("properties", [None, PERSISTENT], ids=["transient", "persistent"])
def test_a_body_of_any_size_arrives_unchanged(
    channel: BlockingChannel, name: str, size: int, properties: pika.BasicProperties | None
) -> None:
    channel.queue_declare(name, durable=True)
    sent = body_of(size)
    publish(channel, name, sent, b"next", properties=properties)
    assert channel.basic_get(name, auto_ack=True)[2] == sent
    assert channel.basic_get(name, auto_ack=True)[2] == b"next"


def test_a_small_frame_max_splits_the_body_both_ways(connect: Connect, name: str) -> None:
    small = connect(frame_max=4096).channel()
    small.queue_declare(name)
    sent = body_of(100_000)
    publish(small, name, sent, b"")
    inbox = Inbox(small, name)
    assert [delivery.body for delivery in inbox.take(2)] == [sent, b""]


def test_publisher_and_consumer_may_have_different_frame_max(connect: Connect, name: str) -> None:
    large, small = connect().channel(), connect(frame_max=4096).channel()
    large.queue_declare(name)
    sent = body_of(300_000)
    publish(large, name, sent)
    assert small.basic_get(name)[2] == sent


def test_all_properties_arrive_as_they_were_sent(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"h": "v"},
        delivery_mode=2,
        priority=9,
        correlation_id="id ⚑",
        reply_to="reply-queue",
        expiration="600000",
        message_id="m-1",
        timestamp=1_700_000_000,
        type="kind",
        user_id="guest",
        app_id="app",
        cluster_id="cluster",
    )
    publish(channel, name, b"x", properties=sent)
    assert channel.basic_get(name)[1] == sent


def test_no_properties_stay_none(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x")
    assert channel.basic_get(name)[1] == pika.BasicProperties()


@pytest.mark.parametrize("delivery_mode", [1, 2])
@pytest.mark.parametrize("timestamp", [0, 1, 2**31, 2**40])
def test_numbers_keep_their_value(channel: BlockingChannel, name: str, delivery_mode: int, timestamp: int) -> None:
    channel.queue_declare(name)
    sent = pika.BasicProperties(delivery_mode=delivery_mode, timestamp=timestamp, priority=0)
    publish(channel, name, b"x", properties=sent)
    assert channel.basic_get(name)[1] == sent


VALUES: list[Any] = [
    "text",
    "",
    "日本 🐇",
    b"\x00\xff\xfe",
    True,
    False,
    0,
    -1,
    127,
    -(2**31),
    2**31,
    -(2**63),
    2**63 - 1,
    Decimal("3.14"),
    datetime(2024, 5, 1, 12, 30, tzinfo=UTC),
    None,
    [],
    [1, "two", None, [True, {"deep": [b"\x01"]}]],
    {},
    {"a": 1, "b": {"c": {"d": [1, 2, 3]}}},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_header_of_any_type_arrives_unchanged(channel: BlockingChannel, name: str, value: Any) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x", properties=pika.BasicProperties(headers={"key": value}))
    got = channel.basic_get(name)[1].headers["key"]
    if isinstance(got, datetime):
        got = got.replace(tzinfo=UTC)
    assert got == value
    assert isinstance(got, bool) == isinstance(value, bool)


def test_many_headers_keep_their_names(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    headers = {f"key-{number}-ü": number for number in range(1000)}
    publish(channel, name, b"x", properties=pika.BasicProperties(headers=headers))
    assert channel.basic_get(name)[1].headers == headers


def test_an_empty_header_table_stays_one(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x", properties=pika.BasicProperties(headers={}))
    assert channel.basic_get(name)[1].headers == {}


def test_body_and_properties_are_the_same_in_every_queue(channel: BlockingChannel, name: str) -> None:
    queues = [name + suffix for suffix in ("-a", "-b", "-c")]
    for queue in queues:
        channel.queue_declare(queue)
        channel.queue_bind(queue, "amq.fanout", "")
    sent = pika.BasicProperties(message_id=name, headers={"n": 1})
    channel.basic_publish("amq.fanout", "", b"x", sent)
    assert [channel.basic_get(queue, auto_ack=True)[1:] for queue in queues] == [(sent, b"x")] * 3
