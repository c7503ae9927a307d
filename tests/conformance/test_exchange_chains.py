"""Exchanges bound to exchanges, alternates and copies: who is reached, and what goes when an end of a chain goes.

Held to rabbitmq.com/docs/e2e, /docs/ae and /docs/sender-selected, and to AMQP 0-9-1 for auto-delete.
"""

from __future__ import annotations

import itertools
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from conformance.support import Confirms, bound_queue, channel_refused, drain, exchange_exists, publish, ready, until


def test_an_auto_delete_exchange_goes_when_the_exchange_it_led_to_goes(
    connection: BlockingConnection, name: str
) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "fanout", auto_delete=True)
    channel.exchange_declare(name + "-next", "fanout")
    channel.exchange_bind(name + "-next", name, "")
    channel.exchange_delete(name + "-next")
    until(lambda: not exchange_exists(connection, name))


def test_a_chain_of_auto_delete_exchanges_goes_from_its_end(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    chain = [f"{name}-{number}" for number in range(4)]
    for exchange in chain:
        channel.exchange_declare(exchange, "fanout", auto_delete=True)
    for source, destination in itertools.pairwise(chain):
        channel.exchange_bind(destination, source, "")
    channel.queue_delete(bound_queue(channel, chain[-1], ""))
    for exchange in chain:
        until(lambda exchange=exchange: not exchange_exists(connection, exchange))


def test_being_led_to_does_not_count_for_auto_delete(connection: BlockingConnection, name: str) -> None:
    """Only bindings that lead away from it do."""
    channel = connection.channel()
    channel.exchange_declare(name, "fanout", auto_delete=True)
    channel.exchange_bind(name, "amq.fanout", "")
    channel.exchange_unbind(name, "amq.fanout", "")
    channel.close()
    assert exchange_exists(connection, name)


def test_a_repeated_binding_between_exchanges_is_one(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct")
    channel.exchange_declare(name + "-next", "fanout")
    queue = bound_queue(channel, name + "-next", "")
    for _ in range(2):
        channel.exchange_bind(name + "-next", name, "k")
    channel.exchange_unbind(name + "-next", name, "k")
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, queue) == []


def test_bindings_between_exchanges_differ_by_arguments(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "headers")
    channel.exchange_declare(name + "-next", "fanout")
    queue = bound_queue(channel, name + "-next", "")
    for colour in ("red", "blue"):
        channel.exchange_bind(name + "-next", name, "", {"x-match": "all", "colour": colour})
    channel.exchange_unbind(name + "-next", name, "", {"x-match": "all", "colour": "red"})
    for colour in ("red", "blue"):
        channel.basic_publish(name, "", colour.encode(), pika.BasicProperties(headers={"colour": colour}))
    assert drain(channel, queue) == [b"blue"]


def test_a_queue_and_an_exchange_of_one_name_are_two_destinations(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, "amq.direct", name)
    channel.exchange_bind(name, "amq.direct", name)
    behind = bound_queue(channel, name, "")
    channel.basic_publish("amq.direct", name, b"x")
    assert (drain(channel, name), drain(channel, behind)) == ([b"x"], [b"x"])


def test_nothing_passes_an_exchange_deleted_in_the_middle(channel: BlockingChannel, name: str) -> None:
    for suffix in ("-a", "-b", "-c"):
        channel.exchange_declare(name + suffix, "fanout")
    channel.exchange_bind(name + "-b", name + "-a", "")
    channel.exchange_bind(name + "-c", name + "-b", "")
    queue = bound_queue(channel, name + "-c", "")
    channel.exchange_delete(name + "-b")
    channel.exchange_declare(name + "-b", "fanout")
    channel.basic_publish(name + "-a", "", b"x")
    assert drain(channel, queue) == []


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
def test_every_type_passes_on_to_its_alternate(channel: BlockingChannel, name: str, kind: str) -> None:
    channel.exchange_declare(name, kind, arguments={"alternate-exchange": name + "-spare"})
    channel.exchange_declare(name + "-spare", "fanout", internal=True)
    queue = bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, queue) == [b"x"]


def test_an_alternate_takes_nothing_while_any_binding_matches(channel: BlockingChannel, name: str) -> None:
    """Also one that leads to an exchange where the message gets lost."""
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": name + "-spare"})
    channel.exchange_declare(name + "-spare", "fanout")
    channel.exchange_declare(name + "-dead-end", "fanout")
    channel.exchange_bind(name + "-dead-end", name, "k")
    queue = bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, queue) == []


def test_the_alternate_of_an_exchange_further_on_counts_too(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    channel.exchange_declare(name + "-next", "direct", arguments={"alternate-exchange": name + "-spare"})
    channel.exchange_declare(name + "-spare", "fanout")
    channel.exchange_bind(name + "-next", name, "")
    queue = bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "nobody", b"x")
    assert drain(channel, queue) == [b"x"]


def test_an_alternate_made_later_is_found(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": name + "-spare"})
    channel.basic_publish(name, "k", b"lost")
    channel.exchange_declare(name + "-spare", "fanout")
    queue = bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, queue) == [b"x"]


def test_an_alternate_must_be_a_name(channel: BlockingChannel, name: str) -> None:
    text = (
        f"PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'"
    )
    with channel_refused(406, text):
        channel.exchange_declare(name, "direct", arguments={"alternate-exchange": 5})


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_a_copy_that_matches_keeps_the_message_from_the_alternate(
    channel: BlockingChannel, name: str, kind: str
) -> None:
    channel.exchange_declare(name, kind, arguments={"alternate-exchange": name + "-spare"})
    channel.exchange_declare(name + "-spare", "fanout")
    queue, spare = bound_queue(channel, name, "cc"), bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "nobody", b"x", pika.BasicProperties(headers={"CC": ["cc"]}))
    assert (drain(channel, queue), drain(channel, spare)) == ([b"x"], [])


def test_copies_are_routed_along_a_chain(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    channel.exchange_declare(name + "-next", "direct")
    channel.exchange_bind(name + "-next", name, "")
    queues = [bound_queue(channel, name + "-next", key) for key in ("to", "cc", "bcc")]
    headers = {"CC": ["cc"], "BCC": ["bcc"]}
    channel.basic_publish(name, "to", b"x", pika.BasicProperties(headers=headers))
    assert [drain(channel, queue) for queue in queues] == [[b"x"]] * 3


def test_copies_through_the_default_exchange_name_queues(channel: BlockingChannel, name: str) -> None:
    queues = [f"{name}-{number}" for number in range(3)]
    for queue in queues:
        channel.queue_declare(queue, exclusive=True)
    headers = {"CC": [queues[1], "nobody"], "BCC": [queues[2]]}
    publish(channel, queues[0], b"x", properties=pika.BasicProperties(headers=headers))
    assert [drain(channel, queue) for queue in queues] == [[b"x"]] * 3


def test_hidden_copies_leave_an_empty_table_behind(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x", properties=pika.BasicProperties(headers={"BCC": [name]}))
    assert channel.basic_get(name)[1].headers == {}


def test_a_mandatory_message_reaches_somebody_by_its_copy(channel: BlockingChannel, name: str) -> None:
    queue = bound_queue(channel, "amq.direct", name)
    confirms = Confirms(channel)
    copied = pika.BasicProperties(headers={"CC": [name]})
    confirms.publish("amq.direct", name + "-nobody", b"x", mandatory=True, properties=copied)
    confirms.wait(1)
    assert confirms.events == [("ack", 1)] and drain(channel, queue) == [b"x"]


@pytest.mark.parametrize("length", [200, 255])
def test_names_and_keys_up_to_255_octets(channel: BlockingChannel, name: str, length: int) -> None:
    exchange, key = name.ljust(length, "e"), "k" * 255
    channel.exchange_declare(exchange, "direct")
    queue = bound_queue(channel, exchange, key)
    channel.basic_publish(exchange, key, b"x")
    method = channel.basic_get(queue, auto_ack=True)[0]
    assert (method.exchange, method.routing_key) == (exchange, key)


def test_passive_declare_asks_for_the_name_alone(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct")
    channel.exchange_declare(name, "fanout", passive=True)


def test_delete_if_unused_does_not_look_at_who_leads_there(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.exchange_declare(name, "fanout")
    channel.exchange_bind(name, "amq.fanout", "")
    channel.exchange_delete(name, if_unused=True)
    assert not exchange_exists(connection, name)


def test_durable_exchanges_and_what_binds_them_survive_a_restart(own_broker: Broker, name: str) -> None:
    channel = own_broker.connect().channel()
    declare: dict[str, Any] = {"exchange_type": "topic", "durable": True}
    channel.exchange_declare(name, arguments={"alternate-exchange": name + "-spare"}, **declare)
    channel.exchange_declare(name + "-next", internal=True, **declare)
    channel.exchange_declare(name + "-spare", "fanout", durable=True, auto_delete=True)
    channel.exchange_declare(name + "-transient", "fanout")
    for queue in (name, name + "-kept"):
        channel.queue_declare(queue, durable=True)
    channel.exchange_bind(name + "-next", name, "a.#", {"n": 1})
    channel.queue_bind(name, name + "-next", "*.b")
    channel.queue_bind(name + "-kept", name + "-spare", "")
    own_broker.restart()
    connection = own_broker.connect()
    channel = connection.channel()
    channel.exchange_declare(name, arguments={"alternate-exchange": name + "-spare"}, **declare)
    channel.exchange_declare(name + "-next", internal=True, **declare)
    assert not exchange_exists(connection, name + "-transient")
    channel.basic_publish(name, "a.b", b"through")
    channel.basic_publish(name, "z", b"spare")
    assert (drain(channel, name), drain(channel, name + "-kept")) == ([b"through"], [b"spare"])
    channel.exchange_unbind(name + "-next", name, "a.#", {"n": 1})
    channel.queue_delete(name + "-kept")
    until(lambda: not exchange_exists(connection, name + "-spare"))
    channel.basic_publish(name, "a.b", b"lost")
    assert ready(channel, name) == 0
