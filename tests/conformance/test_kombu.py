"""Two more clients, py-amqp and kombu on top of it: what Celery speaks with its broker.

They send what pika does not (floats, access to the wire in another order, fanout mailboxes, no-wait flags) and map
refusals to exceptions by their codes. rabbitmq.com/client-libraries lists them; kombu's documentation says what it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers import Broker
from conformance.support import WITHIN_S

amqp = pytest.importorskip("amqp")
kombu = pytest.importorskip("kombu")


@pytest.fixture
def connection(broker: Broker) -> Iterator[Any]:
    """py-amqp's connection, instead of pika's."""
    with amqp.Connection(f"127.0.0.1:{broker.port}", "guest", "guest", confirm_publish=True, heartbeat=30) as opened:
        yield opened


@pytest.fixture
def channel(connection: Any) -> Any:
    return connection.channel()


@pytest.fixture
def celery_like(broker: Broker) -> Iterator[Any]:
    """kombu's connection."""
    with kombu.Connection(broker.url, heartbeat=30) as opened:
        yield opened


def test_a_message_is_confirmed_and_got(channel: Any, name: str) -> None:
    channel.queue_declare(name, auto_delete=False)
    channel.basic_publish(amqp.Message(b"x", delivery_mode=2, message_id="7"), routing_key=name)
    message = channel.basic_get(name)
    assert (message.body, message.properties["message_id"]) == (b"x", "7")
    channel.basic_ack(message.delivery_tag)
    assert channel.basic_get(name) is None


@pytest.mark.parametrize("value", [1.5, Decimal("2.50"), datetime(2024, 5, 1, 12), 2**40, True, None, [1, {"a": "b"}]])
def test_headers_of_py_amqps_types_arrive_unchanged(channel: Any, name: str, value: object) -> None:
    channel.queue_declare(name, auto_delete=False)
    channel.basic_publish(amqp.Message(b"x", application_headers={"key": value}), routing_key=name)
    assert channel.basic_get(name, no_ack=True).headers["key"] == value


def test_a_large_body_crosses_in_both_directions(channel: Any, name: str) -> None:
    body = "0123456789" * 100_000
    channel.queue_declare(name, auto_delete=False)
    channel.basic_publish(amqp.Message(body), routing_key=name)
    assert channel.basic_get(name, no_ack=True).body == body


def test_refusals_are_told_by_their_exceptions(connection: Any, name: str) -> None:
    with pytest.raises(amqp.NotFound, match=f"no queue '{name}' in vhost '/'"):
        connection.channel().queue_declare(name, passive=True)
    connection.channel().queue_declare(name, auto_delete=False)
    with pytest.raises(amqp.PreconditionFailed, match="inequivalent arg 'durable'"):
        connection.channel().queue_declare(name, durable=True, auto_delete=False)
    with pytest.raises(amqp.AccessRefused, match="reserved prefix"):
        connection.channel().queue_declare("amq.mine")


def test_an_unroutable_mandatory_message_comes_back(channel: Any, name: str) -> None:
    returned: list[Any] = []
    channel.events["basic_return"].add(lambda *got: returned.append(got[0].reply_code))
    channel.basic_publish(amqp.Message(b"x"), routing_key=name, mandatory=True)
    assert returned == [312]


def test_a_transaction_through_py_amqp(connection: Any, name: str, broker: Broker) -> None:
    with amqp.Connection(f"127.0.0.1:{broker.port}", "guest", "guest") as plain:
        channel = plain.channel()
        channel.queue_declare(name, auto_delete=False)
        channel.tx_select()
        channel.basic_publish(amqp.Message(b"dropped"), routing_key=name)
        channel.tx_rollback()
        channel.basic_publish(amqp.Message(b"kept"), routing_key=name)
        channel.tx_commit()
        assert channel.basic_get(name, no_ack=True).body == b"kept"
        assert channel.basic_get(name) is None


def test_a_consumer_is_told_that_its_queue_is_gone(connection: Any, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name, auto_delete=False)
    cancelled: list[str] = []
    channel.basic_consume(name, callback=lambda _: None, on_cancel=cancelled.append, consumer_tag="tag")
    connection.channel().queue_delete(name)
    while not cancelled:
        connection.drain_events(timeout=WITHIN_S)
    assert cancelled == ["tag"]


def test_a_simple_queue_of_kombu(celery_like: Any, name: str) -> None:
    queue = celery_like.SimpleQueue(name)
    for number in range(10):
        queue.put({"number": number}, serializer="json", compression="zlib")
    got = [queue.get(timeout=WITHIN_S) for _ in range(10)]
    for message in got:
        message.ack()
    assert [message.payload["number"] for message in got] == list(range(10))
    assert queue.qsize() == 0
    queue.close()


def test_producers_and_consumers_declare_what_they_need(celery_like: Any, name: str) -> None:
    """Declared by both ends with all that kombu can ask of a queue; acknowledged, rejected and requeued by methods."""
    exchange = kombu.Exchange(name, "topic", durable=True)
    queue = kombu.Queue(
        name, exchange, "task.#", max_priority=5, message_ttl=600.0, expires=600.0, max_length=100, durable=True
    )
    producer = celery_like.Producer()
    for number in range(3):
        producer.publish(number, exchange=exchange, routing_key="task.x", declare=[queue], priority=number, retry=True)
    got: list[tuple[Any, bool]] = []

    def receive(body: Any, message: Any) -> None:
        again = message.delivery_info["redelivered"]
        got.append((body, again))
        if body == 2 and not again:
            message.requeue()
        elif body == 1:
            message.reject()
        else:
            message.ack()

    with celery_like.Consumer([queue], callbacks=[receive], prefetch_count=1):
        while len(got) < 4:
            celery_like.drain_events(timeout=WITHIN_S)
    assert got == [(2, False), (2, True), (1, False), (0, False)]


def test_fanout_mailboxes_reach_every_worker(celery_like: Any, name: str) -> None:
    """Celery's remote control: an auto-delete, expiring queue for each worker on one fanout exchange."""
    exchange = kombu.Exchange(name, "fanout", durable=False, delivery_mode="transient")
    got: list[str] = []
    queues = [
        kombu.Queue(f"{name}.worker{number}", exchange, auto_delete=True, durable=False, expires=10.0)
        for number in range(3)
    ]
    consumers = [
        celery_like.channel().Consumer([queue], no_ack=True, callbacks=[lambda body, message: got.append(body)])
        for queue in queues
    ]
    for consumer in consumers:
        consumer.consume()
    celery_like.Producer().publish("ping", exchange=exchange)
    while len(got) < 3:
        celery_like.drain_events(timeout=WITHIN_S)
    assert got == ["ping"] * 3


def test_a_connection_that_asks_for_heartbeats_is_alive(celery_like: Any) -> None:
    celery_like.connect()
    assert celery_like.get_heartbeat_interval() == 30
    celery_like.heartbeat_check()
    assert celery_like.connected
