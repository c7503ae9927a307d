"""Declaring and deleting exchanges, and what may not be done to the built-in ones.

rabbitmq.com/docs/exchanges, docs/firehose (amq.rabbitmq.trace); AMQP 0-9-1 section 3.1.3 and class exchange.
"""

from __future__ import annotations

from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import (
    bound_queue,
    channel_refused,
    drain,
    exchange_exists,
    until,
)

BUILT_IN = ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"]
DEFAULT_REFUSED = "ACCESS_REFUSED - operation not permitted on the default exchange"


@pytest.mark.parametrize("exchange", BUILT_IN)
def test_the_built_in_exchanges_exist(connection: BlockingConnection, exchange: str) -> None:
    assert exchange_exists(connection, exchange)


def test_a_built_in_exchange_may_be_declared_as_it_is(channel: BlockingChannel) -> None:
    channel.exchange_declare("amq.topic", "topic", durable=True)


def test_passive_declare_of_a_missing_exchange_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        channel.exchange_declare(name, passive=True)


@pytest.mark.not_on_rabbitmq("3.10 ends the whole connection, 503 COMMAND_INVALID; 4.x, and pika's suite, the channel")
def test_an_unknown_type_is_406(channel: BlockingChannel, name: str) -> None:
    with channel_refused(406, "PRECONDITION_FAILED - unknown exchange type 'wat'"):
        channel.exchange_declare(name, "wat")


def test_names_beginning_with_amq_are_reserved(channel: BlockingChannel) -> None:
    text = "ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'"
    with channel_refused(403, text):
        channel.exchange_declare("amq.foo", "direct")


def test_a_built_in_exchange_cannot_be_deleted(channel: BlockingChannel) -> None:
    text = "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"
    with channel_refused(403, text):
        channel.exchange_delete("amq.direct")


def test_nothing_named_amq_can_be_deleted_even_if_missing(channel: BlockingChannel) -> None:
    text = "ACCESS_REFUSED - deletion of system exchange 'amq.foo' in vhost '/' not allowed"
    with channel_refused(403, text):
        channel.exchange_delete("amq.foo")


def test_the_exchange_of_the_tracer_is_there_and_internal(channel: BlockingChannel) -> None:
    """rabbitmq.com/docs/firehose: every virtual host has amq.rabbitmq.trace; clients bind to it and never publish to it."""
    bound_queue(channel, "amq.rabbitmq.trace", "publish.#")
    text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
    with channel_refused(403, text):
        channel.basic_publish("amq.rabbitmq.trace", "publish.x", b"x")
        channel.queue_declare("", exclusive=True)


def test_the_default_exchange_cannot_be_declared(channel: BlockingChannel) -> None:
    with channel_refused(403, DEFAULT_REFUSED):
        channel.exchange_declare("", "direct")


def test_the_default_exchange_cannot_be_deleted(channel: BlockingChannel) -> None:
    with channel_refused(403, DEFAULT_REFUSED):
        channel.exchange_delete("")


def test_nothing_can_be_bound_to_the_default_exchange(channel: BlockingChannel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    with channel_refused(403, DEFAULT_REFUSED):
        channel.queue_bind(queue, "", "k")


def test_nothing_can_be_unbound_from_the_default_exchange(channel: BlockingChannel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    with channel_refused(403, DEFAULT_REFUSED):
        channel.queue_unbind(queue, "", queue)


def test_the_default_exchange_cannot_be_bound_to_another(channel: BlockingChannel) -> None:
    with channel_refused(403, DEFAULT_REFUSED):
        channel.exchange_bind("amq.direct", "", "k")


@pytest.mark.parametrize(
    ("now", "key", "received", "current"),
    [
        ({"exchange_type": "fanout"}, "type", "'fanout'", "'direct'"),
        ({"durable": True}, "durable", "'true'", "'false'"),
        ({"auto_delete": True}, "auto_delete", "'true'", "'false'"),
        ({"internal": True}, "internal", "'true'", "'false'"),
        (
            {"arguments": {"alternate-exchange": "a"}},
            "alternate-exchange",
            "the value 'a' of type 'longstr'",
            "none",
        ),
    ],
)
def test_redeclare_otherwise_is_refused(
    channel: BlockingChannel, name: str, now: dict[str, Any], key: str, received: str, current: str
) -> None:
    channel.exchange_declare(name, "direct")
    text = (
        f"PRECONDITION_FAILED - inequivalent arg '{key}' for exchange '{name}' in vhost '/': "
        f"received {received} but current is {current}"
    )
    with channel_refused(406, text):
        channel.exchange_declare(name, **{"exchange_type": "direct", **now})


def test_delete_of_a_missing_exchange_is_ok(channel: BlockingChannel, name: str) -> None:
    channel.exchange_delete(name)


def test_delete_takes_the_bindings_along(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "fanout")
    queue = bound_queue(channel, name, "")
    channel.exchange_delete(name)
    assert not exchange_exists(connection, name)
    channel.exchange_declare(name, "fanout")
    channel.basic_publish(name, "", b"x")
    assert drain(channel, queue) == []


def test_delete_if_unused_refuses_an_exchange_with_bindings(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    bound_queue(channel, name, "")
    with channel_refused(406, f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use"):
        channel.exchange_delete(name, if_unused=True)


def test_delete_if_unused_deletes_one_without_bindings(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "fanout")
    channel.exchange_delete(name, if_unused=True)
    assert not exchange_exists(connection, name)


def test_auto_delete_exchange_goes_with_its_last_binding(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "direct", auto_delete=True)
    queue = bound_queue(channel, name, "one", "two")
    channel.queue_unbind(queue, name, "one")
    assert exchange_exists(connection, name)
    channel.queue_unbind(queue, name, "two")
    until(lambda: not exchange_exists(connection, name))


def test_auto_delete_exchange_goes_with_the_queue_of_its_last_binding(
    connection: BlockingConnection, name: str
) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "direct", auto_delete=True)
    channel.queue_delete(bound_queue(channel, name, "k"))
    until(lambda: not exchange_exists(connection, name))


def test_auto_delete_exchange_that_never_had_a_binding_stays(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "direct", auto_delete=True)
    channel.basic_publish(name, "k", b"x")
    channel.close()
    assert exchange_exists(connection, name)


def test_clients_cannot_publish_to_an_internal_exchange(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout", internal=True)
    text = f"ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'"
    with channel_refused(403, text):
        channel.basic_publish(name, "", b"x")
        channel.queue_declare("", exclusive=True)


def test_an_internal_exchange_is_reached_through_another(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout", internal=True)
    channel.exchange_bind(name, "amq.direct", name)
    queue = bound_queue(channel, name, "")
    channel.basic_publish("amq.direct", name, b"x")
    assert drain(channel, queue) == [b"x"]


def test_publish_to_a_missing_exchange_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        channel.basic_publish(name, "k", b"x")
        channel.queue_declare("", exclusive=True)


def test_cr_and_lf_are_stripped_from_names(connection: BlockingConnection, name: str) -> None:
    connection.channel().exchange_declare(f"{name}\r\n", "direct")
    assert exchange_exists(connection, name)


def test_cr_and_lf_are_stripped_on_every_way_to_name_one(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "direct")
    channel.exchange_declare(f"{name}\r", passive=True)
    channel.exchange_bind("amq.fanout", f"{name}\n", "k")
    channel.exchange_unbind("amq.fanout", f"{name}\n", "k")
    channel.exchange_delete(f"\r\n{name}")
    assert not exchange_exists(connection, name)


def test_publishing_does_not_strip_cr_and_lf(channel: BlockingChannel) -> None:
    with channel_refused(404, "NOT_FOUND - no exchange 'amq.direct\n' in vhost '/'"):
        channel.basic_publish("amq.direct\n", "k", b"x")
        channel.queue_declare("", exclusive=True)


def test_names_may_be_any_utf8(channel: BlockingChannel, name: str) -> None:
    exchange = f"{name} 交換 🐇"
    channel.exchange_declare(exchange, "direct")
    queue = bound_queue(channel, exchange, "ключ")
    channel.basic_publish(exchange, "ключ", b"x")
    assert drain(channel, queue) == [b"x"]
