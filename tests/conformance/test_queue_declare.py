"""Declaring queues: names, passive and repeated declarations, and what the broker refuses.

rabbitmq.com/docs/queues (names, properties, equivalence); AMQP 0-9-1 class queue: declare.
"""

from __future__ import annotations

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import channel_refused, drain, publish, ready

FLAGS = ["durable", "exclusive", "auto_delete"]


def test_declare_reports_name_and_counts(channel: BlockingChannel, name: str) -> None:
    """declare-ok names the queue and counts its ready messages and its consumers."""
    fresh = channel.queue_declare(name).method
    assert (fresh.queue, fresh.message_count, fresh.consumer_count) == (name, 0, 0)
    publish(channel, name, b"1", b"2")
    channel.basic_consume(name, lambda *_: None)
    channel.basic_cancel(channel.consumer_tags[0])
    channel.queue_declare(name + "-two")
    channel.basic_consume(name + "-two", lambda *_: None)
    assert channel.queue_declare(name + "-two").method.consumer_count == 1


def test_redeclare_counts_ready_messages(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3")
    channel.basic_get(name)
    assert channel.queue_declare(name).method.message_count == 2


def test_passive_declare_of_a_missing_queue_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        channel.queue_declare(name, passive=True)


def test_passive_declare_ignores_the_other_fields(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True)
    again = channel.queue_declare(name, passive=True, durable=False, arguments={"x-max-length": 1})
    assert again.method.queue == name


def test_a_refused_channel_leaves_the_connection_open(connection: BlockingConnection, name: str) -> None:
    first, second = connection.channel(), connection.channel()
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        first.queue_declare(name, passive=True)
    assert second.queue_declare(name).method.queue == name


def test_an_empty_name_makes_the_broker_choose_one(channel: BlockingChannel) -> None:
    one, two = channel.queue_declare("").method.queue, channel.queue_declare("").method.queue
    assert one.startswith("amq.gen-") and two.startswith("amq.gen-") and one != two
    channel.queue_delete(one)
    channel.queue_delete(two)


def test_a_server_named_queue_can_be_declared_again_by_its_name(channel: BlockingChannel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    assert channel.queue_declare(queue, passive=True).method.queue == queue


def test_the_empty_name_means_the_queue_declared_last_on_the_channel(channel: BlockingChannel) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind("", "amq.direct", queue)
    channel.basic_publish("amq.direct", queue, b"x")
    assert channel.basic_get("", auto_ack=True)[2] == b"x"
    publish(channel, queue, b"y")
    assert channel.queue_purge("").method.message_count == 1
    publish(channel, queue, b"z")
    assert channel.queue_delete("").method.message_count == 1


def test_the_empty_name_is_404_when_nothing_was_declared_on_the_channel(channel: BlockingChannel) -> None:
    with channel_refused(404, "NOT_FOUND - no previously declared queue"):
        channel.basic_get("")


def test_an_empty_binding_key_with_an_empty_name_is_the_queue_name(channel: BlockingChannel) -> None:
    """AMQP 0-9-1, queue.bind: an empty queue name together with an empty key means the last queue for both."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind("", "amq.direct", "")
    channel.basic_publish("amq.direct", queue, b"x")
    assert drain(channel, queue) == [b"x"]


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("now", [True, False])
def test_redeclare_with_another_flag_is_refused(channel: BlockingChannel, name: str, flag: str, now: bool) -> None:
    channel.queue_declare(name, **{flag: not now})
    word = {True: "true", False: "false"}
    text = (
        f"inequivalent arg '{flag}' for queue '{name}' in vhost '/': "
        f"received '{word[now]}' but current is '{word[not now]}'"
    )
    locked = (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the "
        "original declaration."
    )
    exclusive = flag == "exclusive"
    with channel_refused(405 if exclusive else 406, locked if exclusive else f"PRECONDITION_FAILED - {text}"):
        channel.queue_declare(name, **{flag: now})


def test_a_refused_redeclaration_leaves_the_queue_as_it_was(
    connection: BlockingConnection, channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"kept")
    text = f"inequivalent arg 'durable' for queue '{name}' in vhost '/': received 'true' but current is 'false'"
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.queue_declare(name, durable=True)
    assert drain(connection.channel(), name) == [b"kept"]


@pytest.mark.parametrize("suffix", ["ünïcödé", "队列", "🐇", "with space", "a/b%2F", "'quoted'", "x" * 100])
def test_names_may_be_any_utf8(channel: BlockingChannel, name: str, suffix: str) -> None:
    queue = f"{name}-{suffix}"
    assert channel.queue_declare(queue).method.queue == queue
    publish(channel, queue, suffix.encode())
    assert drain(channel, queue) == [suffix.encode()]


def test_a_name_may_be_255_bytes_long(channel: BlockingChannel, name: str) -> None:
    queue = name.ljust(255, "x")
    assert channel.queue_declare(queue).method.queue == queue
    assert ready(channel, queue) == 0


def test_names_beginning_with_amq_are_reserved(channel: BlockingChannel) -> None:
    text = "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'"
    with channel_refused(403, text):
        channel.queue_declare("amq.foo")


def test_a_reserved_name_is_refused_passively_too_when_it_does_not_exist(channel: BlockingChannel) -> None:
    with channel_refused(404, "NOT_FOUND - no queue 'amq.foo' in vhost '/'"):
        channel.queue_declare("amq.foo", passive=True)
