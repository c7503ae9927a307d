"""What the conformance tests say over and over: expect a refusal, publish, collect, wait for an event.

It is no client: everything works on pika's blocking channels. Only the tests of this directory use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

PERSISTENT = pika.BasicProperties(delivery_mode=2)
WITHIN_S = 60.0


@contextmanager
def channel_refused(code: int, text: str) -> Iterator[None]:
    """The broker ends the channel, and only the channel, with exactly this code and text."""
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        yield
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text)


@contextmanager
def connection_refused(code: int, text: str) -> Iterator[None]:
    """The broker ends the whole connection with exactly this code and text."""
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        yield
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text)


class Confirms:
    """Confirm mode without pika's own waiting: every basic.ack, basic.nack and basic.return as it comes."""

    def __init__(self, channel: BlockingChannel) -> None:
        self.channel = channel
        self.events: list[tuple[str, Any]] = []
        self.acked: set[int] = set()
        self.nacked: set[int] = set()
        impl = channel._impl
        impl.add_on_return_callback(lambda _, method, *__: self.events.append(("return", method.reply_code)))
        selected: list[Any] = []
        impl.confirm_delivery(self._on_confirm, callback=selected.append)
        until(lambda: bool(selected), channel.connection)

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        kind = "ack" if isinstance(method, pika.spec.Basic.Ack) else "nack"
        self.events.append((kind, method.delivery_tag))
        settled = self.acked if kind == "ack" else self.nacked
        first = 1 if method.multiple else method.delivery_tag
        settled |= set(range(first, method.delivery_tag + 1)) - self.acked - self.nacked

    def publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        mandatory: bool = False,
        properties: pika.BasicProperties | None = PERSISTENT,
    ) -> None:
        self.channel._impl.basic_publish(exchange, key, body, properties, mandatory)

    def wait(self, count: int) -> None:
        until(lambda: len(self.acked) + len(self.nacked) >= count, self.channel.connection)


def publish(
    channel: BlockingChannel, queue: str, *bodies: bytes, properties: pika.BasicProperties | None = None
) -> None:
    """Publish through the default exchange, on a channel of its own; return when every message is in the queue."""
    publisher = channel.connection.channel()
    confirms = Confirms(publisher)
    for body in bodies:
        confirms.publish("", queue, body, properties=properties)
    confirms.wait(len(bodies))
    assert not confirms.nacked, f"{queue} refused {len(confirms.nacked)} of {len(bodies)} messages"
    publisher.close()


def ready(channel: BlockingChannel, queue: str) -> int:
    """How many messages wait in `queue`, once all that the channel sent before has been done.

    RabbitMQ's queues answer this question before older work; asked again, they have done that work meanwhile.
    """
    counts = [channel.queue_declare(queue, passive=True).method.message_count for _ in range(3)]
    return int(counts[-1])


def consumers(channel: BlockingChannel, queue: str) -> int:
    count: int = channel.queue_declare(queue, passive=True).method.consumer_count
    return count


def queue_exists(connection: BlockingConnection, queue: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker as refusal:
        assert refusal.reply_code == 404
        return False
    channel.close()
    return True


def exchange_exists(connection: BlockingConnection, exchange: str) -> bool:
    channel = connection.channel()
    try:
        channel.exchange_declare(exchange, passive=True)
    except pika.exceptions.ChannelClosedByBroker as refusal:
        assert refusal.reply_code == 404
        return False
    channel.close()
    return True


def bound_queue(channel: BlockingChannel, exchange: str, *keys: str, arguments: dict[str, Any] | None = None) -> str:
    """A new exclusive queue, bound once for each key."""
    queue: str = channel.queue_declare("", exclusive=True).method.queue
    for key in keys:
        channel.queue_bind(queue, exchange, key, arguments)
    return queue


def drain(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Take and acknowledge all ready messages, in the order in which the queue gives them."""
    bodies: list[bytes] = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        bodies.append(got[2])
    return bodies


def until(condition: Callable[[], bool], connection: BlockingConnection | None = None) -> None:
    """Wait for `condition` while `connection` (if given) handles what arrives. Fails after WITHIN_S seconds."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s"
        if connection is not None:
            connection.process_data_events(time_limit=0.02)


@dataclass(frozen=True)
class Delivery:
    body: bytes
    tag: int
    redelivered: bool
    method: Any
    properties: pika.BasicProperties


class Inbox:
    """A consumer that keeps what it is given, in order, and acknowledges nothing by itself."""

    def __init__(self, channel: BlockingChannel, queue: str, **how: Any) -> None:
        self.channel = channel
        self.queue = queue
        self.deliveries: list[Delivery] = []
        self.cancelled = False
        channel.add_on_cancel_callback(self._on_cancel)
        self.tag: str = channel.basic_consume(queue, self._on_message, **how)

    def _on_message(self, _: BlockingChannel, method: Any, props: pika.BasicProperties, body: bytes) -> None:
        self.deliveries.append(Delivery(body, method.delivery_tag, method.redelivered, method, props))

    def _on_cancel(self, _: Any) -> None:
        self.cancelled = True

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.deliveries]

    def take(self, count: int) -> list[Delivery]:
        """Wait until `count` have come, and hand out and forget those."""
        until(lambda: len(self.deliveries) >= count, self.channel.connection)
        taken, self.deliveries = self.deliveries[:count], self.deliveries[count:]
        return taken

    def settle(self) -> list[bytes]:
        """Everything that had to arrive by now. See `settle`."""
        settle(self)
        return self.bodies


def settle(*inboxes: Inbox) -> None:
    """Return when all that the queues had to deliver has arrived.

    In RabbitMQ queue, channel and prefetch limiter are processes of their own, so one answer of the queue proves
    little; several, one after the other, leave each of them a turn for what was sent before.
    """
    for _ in range(2):
        for inbox in inboxes:
            ready(inbox.channel, inbox.queue)
    for inbox in inboxes:
        inbox.channel.connection.process_data_events(time_limit=0)


def bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]
