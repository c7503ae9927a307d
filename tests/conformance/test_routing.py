"""Which queues a message reaches: default, direct and fanout exchanges, bindings, chains of exchanges.

rabbitmq.com/docs/exchanges, docs/e2e (exchange to exchange bindings), docs/ae (alternate exchanges); AMQP 0-9-1
section 3.1.3.
"""

from __future__ import annotations

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import bound_queue, channel_refused, drain, publish


def test_the_default_exchange_reaches_every_queue_by_its_name(channel: BlockingChannel, name: str) -> None:
    for queue in (name, name + "-other"):
        channel.queue_declare(queue, exclusive=True)
    publish(channel, name, b"x")
    assert drain(channel, name) == [b"x"]
    assert drain(channel, name + "-other") == []


def test_direct_reaches_the_queues_bound_with_exactly_the_key(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct")
    red, both = bound_queue(channel, name, "red"), bound_queue(channel, name, "red", "blue")
    none = bound_queue(channel, name, "re", "redd", "RED", "#", "*")
    channel.basic_publish(name, "red", b"r")
    channel.basic_publish(name, "blue", b"b")
    assert (drain(channel, red), drain(channel, both), drain(channel, none)) == ([b"r"], [b"r", b"b"], [])


def test_direct_takes_the_empty_key_for_a_key(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct")
    queue = bound_queue(channel, name, "")
    channel.basic_publish(name, "", b"x")
    channel.basic_publish(name, "k", b"y")
    assert drain(channel, queue) == [b"x"]


def test_fanout_reaches_every_bound_queue_whatever_the_key(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    queues = [bound_queue(channel, name, key) for key in ("", "a", "b")]
    channel.basic_publish(name, "zzz", b"x")
    assert [drain(channel, queue) for queue in queues] == [[b"x"]] * 3


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
def test_a_queue_gets_a_message_once_however_many_bindings_match(
    channel: BlockingChannel, name: str, kind: str
) -> None:
    channel.exchange_declare(name, kind)
    queue = bound_queue(channel, name, "k", "k", arguments={"n": 1})
    channel.queue_bind(queue, name, "k", {"n": 2})
    channel.queue_bind(queue, name, "#" if kind == "topic" else "k", {})
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, queue) == [b"x"]


def test_a_repeated_binding_is_one_binding(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct")
    queue = bound_queue(channel, name, "k", "k")
    channel.queue_unbind(queue, name, "k")
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, queue) == []


def test_bindings_that_differ_in_arguments_are_two(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct")
    queue = bound_queue(channel, name, "k", arguments={"n": 1})
    channel.queue_bind(queue, name, "k", {"n": 2})
    channel.queue_unbind(queue, name, "k", {"n": 1})
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, queue) == [b"x"]


def test_bind_of_a_missing_queue_or_exchange_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        channel.queue_bind(name, "amq.direct", "k")


def test_bind_to_a_missing_exchange_is_404(channel: BlockingChannel, name: str) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        channel.queue_bind(queue, name, "k")


def test_bind_of_two_missing_ends_names_the_source(connection: BlockingConnection, name: str) -> None:
    for bind in ("queue_bind", "exchange_bind"):
        with channel_refused(404, f"NOT_FOUND - no exchange '{name}-source' in vhost '/'"):
            getattr(connection.channel(), bind)(f"{name}-destination", f"{name}-source", "k")


def test_unbind_of_a_missing_binding_is_ok(channel: BlockingChannel, name: str) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_unbind(queue, "amq.direct", name)


def test_unbind_of_missing_ends_is_ok(channel: BlockingChannel, name: str) -> None:
    channel.queue_unbind(name, "amq.direct", "k")
    channel.queue_unbind(channel.queue_declare("", exclusive=True).method.queue, name, "k")
    channel.exchange_unbind(name, "amq.direct", "k")


def test_a_chain_of_exchanges_routes_by_each_ones_rule(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "topic")
    channel.exchange_declare(name + "-logs", "fanout")
    channel.exchange_bind(name + "-logs", name, "log.#")
    queue = bound_queue(channel, name + "-logs", "")
    channel.basic_publish(name, "log.app", b"yes")
    channel.basic_publish(name, "metric.app", b"no")
    assert drain(channel, queue) == [b"yes"]


def test_the_routing_key_stays_the_same_along_a_chain(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    channel.exchange_declare(name + "-2", "direct")
    channel.exchange_bind(name + "-2", name, "ignored")
    queue = bound_queue(channel, name + "-2", "k")
    channel.basic_publish(name, "k", b"x")
    method = channel.basic_get(queue, auto_ack=True)[0]
    assert (method.exchange, method.routing_key) == (name, "k")


def test_a_queue_reached_on_two_ways_gets_the_message_once(channel: BlockingChannel, name: str) -> None:
    for suffix in ("", "-left", "-right"):
        channel.exchange_declare(name + suffix, "fanout")
    queue = bound_queue(channel, name, "")
    for side in ("-left", "-right"):
        channel.exchange_bind(name + side, name, "")
        channel.queue_bind(queue, name + side, "")
    channel.basic_publish(name, "", b"x")
    assert drain(channel, queue) == [b"x"]


def test_a_cycle_of_exchanges_is_safe(channel: BlockingChannel, name: str) -> None:
    for suffix in ("-a", "-b"):
        channel.exchange_declare(name + suffix, "fanout")
    channel.exchange_bind(name + "-a", name + "-b", "")
    channel.exchange_bind(name + "-b", name + "-a", "")
    channel.exchange_bind(name + "-a", name + "-a", "")
    queue = bound_queue(channel, name + "-b", "")
    channel.basic_publish(name + "-a", "", b"x")
    assert drain(channel, queue) == [b"x"]


def test_unbound_exchanges_pass_nothing_on(channel: BlockingChannel, name: str) -> None:
    for suffix in ("-a", "-b"):
        channel.exchange_declare(name + suffix, "fanout")
    queue = bound_queue(channel, name + "-b", "")
    channel.exchange_bind(name + "-b", name + "-a", "")
    channel.exchange_unbind(name + "-b", name + "-a", "")
    channel.basic_publish(name + "-a", "", b"x")
    assert drain(channel, queue) == []


def test_exchange_bind_of_missing_ends_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        channel.exchange_bind(name, "amq.direct", "k")


def test_what_no_binding_takes_goes_to_the_alternate_exchange(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name + "-spare", "fanout")
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": name + "-spare"})
    taken, spare = bound_queue(channel, name, "k"), bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "k", b"k")
    channel.basic_publish(name, "other", b"o")
    assert (drain(channel, taken), drain(channel, spare)) == ([b"k"], [b"o"])


def test_alternate_exchanges_may_be_chained_and_cyclic(channel: BlockingChannel, name: str) -> None:
    one, two = name + "-1", name + "-2"
    channel.exchange_declare(one, "direct", arguments={"alternate-exchange": two})
    channel.exchange_declare(two, "direct", arguments={"alternate-exchange": one})
    queue = bound_queue(channel, two, "k")
    channel.confirm_delivery()
    channel.basic_publish(one, "k", b"x")
    channel.basic_publish(one, "nobody", b"y")
    assert drain(channel, queue) == [b"x"]


def test_a_missing_alternate_exchange_is_ignored(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": name + "-missing"})
    channel.confirm_delivery()
    channel.basic_publish(name, "k", b"x")


def test_an_alternate_exchange_may_be_internal(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name + "-spare", "fanout", internal=True)
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": name + "-spare"})
    spare = bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "nobody", b"x")
    assert drain(channel, spare) == [b"x"]


def test_an_exchange_on_the_way_uses_its_own_alternate(channel: BlockingChannel, name: str) -> None:
    first, second, spare = (name + suffix for suffix in ("-1", "-2", "-spare"))
    channel.exchange_declare(first, "fanout")
    channel.exchange_declare(second, "direct", arguments={"alternate-exchange": spare})
    channel.exchange_declare(spare, "fanout")
    channel.exchange_bind(second, first, "")
    queue = bound_queue(channel, spare, "")
    channel.basic_publish(first, "nobody", b"x")
    assert drain(channel, queue) == [b"x"]


def test_a_binding_to_an_exchange_that_passes_nothing_on_keeps_the_alternate_out(
    channel: BlockingChannel, name: str
) -> None:
    """The alternate exchange is for messages that no binding takes, wherever the binding leads."""
    channel.exchange_declare(name, "fanout", arguments={"alternate-exchange": name + "-spare"})
    channel.exchange_declare(name + "-dead-end", "fanout")
    channel.exchange_declare(name + "-spare", "fanout")
    channel.exchange_bind(name + "-dead-end", name, "")
    spare = bound_queue(channel, name + "-spare", "")
    channel.basic_publish(name, "k", b"x")
    assert drain(channel, spare) == []
