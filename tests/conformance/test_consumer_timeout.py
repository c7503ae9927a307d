"""Acknowledgement timeout: a channel whose consumer holds a message too long is closed, and the message comes back.

Held to: RabbitMQ's page on consumers (acknowledgement timeout).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from brokers import Broker
from conformance.support import Inbox, publish, until

TIMEOUT_MS = 2_000


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
    text = (
        f"PRECONDITION_FAILED - delivery acknowledgement on channel {channel.channel_number} timed out. "
        f"Timeout value used: {TIMEOUT_MS} ms. This timeout value can be configured, see consumers doc guide to learn more"
    )
    ends: list[Any] = []
    channel._impl.add_on_close_callback(lambda _, reason: ends.append(reason))
    until(lambda: bool(ends), connection)
    assert (ends[0].reply_code, ends[0].reply_text) == (406, text)
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
