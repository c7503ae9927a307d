"""basic.get: one message at a time.

rabbitmq.com/docs/consumers (fetching individual messages); AMQP 0-9-1 class basic: get.
"""

from __future__ import annotations

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import Inbox, channel_refused, drain, publish, ready


def test_get_takes_the_oldest_and_counts_the_rest(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3")
    method, _, body = channel.basic_get(name)
    assert (body, method.message_count, method.redelivered) == (b"1", 2, False)
    assert (method.exchange, method.routing_key, method.delivery_tag) == ("", name, 1)


def test_get_from_an_empty_queue_says_so(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    assert channel.basic_get(name) == (None, None, None)


def test_get_of_a_missing_queue_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        channel.basic_get(name)


def test_get_without_no_ack_holds_the_message(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"1")
    channel.basic_get(name)
    assert ready(channel, name) == 0
    channel.close()
    method, _, body = connection.channel().basic_get(name)
    assert (body, method.redelivered) == (b"1", True)


def test_get_with_no_ack_takes_it_for_good(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"1")
    channel.basic_get(name, auto_ack=True)
    channel.close()
    assert drain(connection.channel(), name) == []


def test_get_and_consume_share_the_numbering_of_the_channel(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1")
    assert channel.basic_get(name)[0].delivery_tag == 1
    inbox = Inbox(channel, name)
    publish(channel, name, b"2")
    assert inbox.take(1)[0].tag == 2


def test_get_is_not_limited_by_prefetch(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3")
    channel.basic_qos(prefetch_count=1)
    assert [channel.basic_get(name)[2] for _ in range(3)] == [b"1", b"2", b"3"]


def test_an_exclusive_consumer_does_not_bar_get(connection: BlockingConnection, name: str) -> None:
    first, second = connection.channel(), connection.channel()
    first.queue_declare(name)
    first.basic_qos(prefetch_count=1)
    Inbox(first, name, exclusive=True)
    publish(second, name, b"1", b"2")
    assert drain(second, name) == [b"2"]
