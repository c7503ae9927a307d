"""How queues end and empty: delete, purge, exclusive, auto-delete.

rabbitmq.com/docs/queues (temporary queues, exclusive queues); AMQP 0-9-1 class queue.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import Inbox, channel_refused, drain, publish, queue_exists, ready, until

Connect = Callable[..., BlockingConnection]


def test_delete_returns_the_number_of_ready_messages(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3")
    assert channel.queue_delete(name).method.message_count == 3
    assert not queue_exists(connection, name)


def test_delete_of_a_missing_queue_is_ok(channel: BlockingChannel, name: str) -> None:
    assert channel.queue_delete(name).method.message_count == 0


def test_delete_takes_the_bindings_along(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.queue_bind(name, "amq.direct", name)
    channel.queue_delete(name)
    channel.queue_declare(name)
    channel.basic_publish("amq.direct", name, b"x")
    assert ready(channel, name) == 0


def test_delete_if_empty_refuses_a_queue_with_messages(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x")
    with channel_refused(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty"):
        channel.queue_delete(name, if_empty=True)


def test_delete_if_empty_deletes_an_empty_queue(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    channel.queue_delete(name, if_empty=True)
    assert not queue_exists(connection, name)


def test_delete_if_unused_refuses_a_queue_with_consumers(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    Inbox(channel, name)
    with channel_refused(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use"):
        channel.queue_delete(name, if_unused=True)


def test_delete_if_unused_deletes_a_queue_with_messages(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"x")
    assert channel.queue_delete(name, if_unused=True).method.message_count == 1
    assert not queue_exists(connection, name)


def test_delete_that_is_refused_for_both_says_not_empty(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2")
    channel.basic_qos(prefetch_count=1)
    Inbox(channel, name).take(1)
    with channel_refused(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty"):
        channel.queue_delete(name, if_empty=True, if_unused=True)


def test_a_queue_whose_messages_are_all_held_is_empty(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"held")
    held = channel.basic_get(name)[0]
    assert channel.queue_delete(name, if_empty=True).method.message_count == 0
    assert not queue_exists(connection, name)
    channel.basic_nack(held.delivery_tag)
    channel.queue_declare(name)
    assert ready(channel, name) == 0


def test_purge_returns_the_count_and_leaves_unacknowledged_messages(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"held", b"1", b"2")
    held = channel.basic_get(name)[0]
    assert channel.queue_purge(name).method.message_count == 2
    channel.basic_nack(held.delivery_tag)
    assert drain(channel, name) == [b"held"]


def test_purge_of_a_missing_queue_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        channel.queue_purge(name)


def test_an_exclusive_queue_ends_with_its_connection(
    connect: Connect, connection: BlockingConnection, name: str
) -> None:
    owner = connect()
    owner.channel().queue_declare(name, exclusive=True)
    owner.close()
    until(lambda: not queue_exists(connection, name))


def test_an_exclusive_queue_outlives_the_channel_that_declared_it(connection: BlockingConnection, name: str) -> None:
    first = connection.channel()
    first.queue_declare(name, exclusive=True)
    first.close()
    assert queue_exists(connection, name)


def _use(channel: BlockingChannel, queue: str, how: str) -> None:
    uses: dict[str, Callable[[], object]] = {
        "passive": lambda: channel.queue_declare(queue, passive=True),
        "declare": lambda: channel.queue_declare(queue, exclusive=True),
        "consume": lambda: channel.basic_consume(queue, lambda *_: None),
        "get": lambda: channel.basic_get(queue),
        "bind": lambda: channel.queue_bind(queue, "amq.direct", "k"),
        "unbind": lambda: channel.queue_unbind(queue, "amq.direct", "k"),
        "purge": lambda: channel.queue_purge(queue),
        "delete": lambda: channel.queue_delete(queue),
    }
    uses[how]()


@pytest.mark.parametrize("how", ["passive", "declare", "consume", "get", "bind", "unbind", "purge", "delete"])
def test_another_connections_exclusive_queue_is_locked(
    connect: Connect, channel: BlockingChannel, name: str, how: str
) -> None:
    owner = connect().channel()
    owner.queue_declare(name, exclusive=True)
    owner.queue_bind(name, "amq.direct", "k")
    text = (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the "
        "original declaration."
    )
    with channel_refused(405, text):
        _use(channel, name, how)


def test_anyone_may_publish_to_an_exclusive_queue(connect: Connect, channel: BlockingChannel, name: str) -> None:
    owner = connect().channel()
    owner.queue_declare(name, exclusive=True)
    publish(channel, name, b"x")
    assert drain(owner, name) == [b"x"]


def test_auto_delete_queue_goes_with_its_last_consumer(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name, auto_delete=True)
    first, second = Inbox(channel, name), Inbox(channel, name)
    channel.basic_cancel(first.tag)
    assert queue_exists(connection, name)
    channel.basic_cancel(second.tag)
    until(lambda: not queue_exists(connection, name))


def test_auto_delete_queue_goes_with_the_connection_of_its_last_consumer(
    connect: Connect, connection: BlockingConnection, name: str
) -> None:
    other = connect()
    channel = other.channel()
    channel.queue_declare(name, auto_delete=True)
    Inbox(channel, name)
    other.close()
    until(lambda: not queue_exists(connection, name))


def test_auto_delete_queue_without_a_consumer_ever_stays(
    connect: Connect, connection: BlockingConnection, name: str
) -> None:
    other = connect()
    channel = other.channel()
    channel.queue_declare(name, auto_delete=True)
    publish(channel, name, b"x")
    assert channel.basic_get(name, auto_ack=True)[2] == b"x"
    other.close()
    assert queue_exists(connection, name)


def test_auto_delete_queue_goes_with_the_channel_of_its_last_consumer(
    connection: BlockingConnection, name: str
) -> None:
    channel = connection.channel()
    channel.queue_declare(name, auto_delete=True)
    Inbox(channel, name)
    channel.close()
    until(lambda: not queue_exists(connection, name))


def test_cr_and_lf_are_stripped_where_queues_are_bound_and_deleted(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    channel.queue_bind(f"{name}\n", "amq.direct\r", name)
    channel.basic_publish("amq.direct", name, b"x")
    assert drain(channel, name) == [b"x"]
    channel.queue_unbind(f"{name}\n", "amq.direct\r", name)
    channel.basic_publish("amq.direct", name, b"x")
    assert drain(channel, name) == []
    channel.queue_delete(f"\r{name}\n")
    assert not queue_exists(connection, name)


@pytest.mark.parametrize("how", ["consume", "get", "purge"])
def test_cr_and_lf_are_not_stripped_where_queues_are_used(channel: BlockingChannel, name: str, how: str) -> None:
    channel.queue_declare(name)
    with channel_refused(404, f"NOT_FOUND - no queue '{name}\n' in vhost '/'"):
        _use(channel, f"{name}\n", how)
