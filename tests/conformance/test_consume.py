"""Consumers: subscribing and cancelling, tags, exclusive ones, round-robin, what they are told.

rabbitmq.com/docs/consumers (tags, exclusivity, single active consumer), docs/consumer-priority, docs/consumer-cancel;
AMQP 0-9-1 section 3.1.10 and class basic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import (
    Inbox,
    bodies,
    channel_refused,
    connection_refused,
    consumers,
    drain,
    publish,
    ready,
    settle,
    until,
)

Connect = Callable[..., BlockingConnection]


def test_a_consumer_gets_what_waits_and_what_comes(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2")
    inbox = Inbox(channel, name)
    assert bodies(inbox.take(2)) == [b"1", b"2"]
    publish(channel, name, b"3")
    assert bodies(inbox.take(1)) == [b"3"]


def test_a_delivery_says_where_it_comes_from(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.queue_bind(name, "amq.topic", f"{name}.#")
    inbox = Inbox(channel, name, consumer_tag="my tag")
    channel.basic_publish("amq.topic", f"{name}.a.b", b"x")
    delivery = inbox.take(1)[0]
    assert (delivery.method.exchange, delivery.method.routing_key) == ("amq.topic", f"{name}.a.b")
    assert (delivery.method.consumer_tag, delivery.tag, delivery.redelivered) == ("my tag", 1, False)


def test_consume_of_a_missing_queue_is_404(channel: BlockingChannel, name: str) -> None:
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        channel.basic_consume(name, lambda *_: None)


def test_a_consumer_tag_used_twice_ends_the_connection(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_consume(name, lambda *_: None, consumer_tag="a")
    # pika refuses the second use by itself; the broker has to be asked past that check.
    channel._impl._consumers.clear()
    channel._consumer_infos.clear()
    with connection_refused(530, "NOT_ALLOWED - attempt to reuse consumer tag 'a'"):
        channel.basic_consume(name, lambda *_: None, consumer_tag="a")


def test_a_repeated_tag_is_noticed_before_a_missing_queue(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_consume(name, lambda *_: None, consumer_tag="a")
    channel._impl._consumers.clear()
    channel._consumer_infos.clear()
    with connection_refused(530, "NOT_ALLOWED - attempt to reuse consumer tag 'a'"):
        channel.basic_consume(name + "-missing", lambda *_: None, consumer_tag="a")


def test_a_consumer_tag_may_be_used_on_two_channels(connection: BlockingConnection, name: str) -> None:
    inboxes = []
    for _ in range(2):
        channel = connection.channel()
        channel.queue_declare(name)
        inboxes.append(Inbox(channel, name, consumer_tag="same"))
    assert consumers(inboxes[0].channel, name) == 2


def test_a_consumer_tag_is_free_again_after_cancel(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_cancel(Inbox(channel, name, consumer_tag="a").tag)
    inbox = Inbox(channel, name, consumer_tag="a")
    publish(channel, name, b"x")
    assert bodies(inbox.take(1)) == [b"x"]


def test_after_cancel_nothing_is_delivered_and_nothing_requeued(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"held")
    inbox = Inbox(channel, name)
    held = inbox.take(1)[0]
    channel.basic_cancel(inbox.tag)
    publish(channel, name, b"later")
    assert ready(channel, name) == 1 and inbox.settle() == []
    channel.basic_ack(held.tag)
    assert drain(channel, name) == [b"later"]


def test_cancel_of_an_unknown_tag_is_ok(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    inbox = Inbox(channel, name)
    channel.basic_cancel(inbox.tag)
    channel._impl._consumers[inbox.tag] = lambda *_: None
    channel._impl.basic_cancel(inbox.tag)
    assert consumers(channel, name) == 0


def test_messages_go_round_robin(connection: BlockingConnection, name: str) -> None:
    publisher = connection.channel()
    publisher.queue_declare(name)
    inboxes = [Inbox(connection.channel(), name) for _ in range(3)]
    publish(publisher, name, *[b"%d" % number for number in range(9)])
    settle(*inboxes)
    assert [inbox.bodies for inbox in inboxes] == [[b"0", b"3", b"6"], [b"1", b"4", b"7"], [b"2", b"5", b"8"]]


def test_round_robin_crosses_connections(connect: Connect, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    inboxes = [Inbox(connect().channel(), name) for _ in range(4)]
    publish(channel, name, *[b"x"] * 40)
    settle(*inboxes)
    assert Counter(len(inbox.bodies) for inbox in inboxes) == {10: 4}


def test_consumer_priorities_come_first(connection: BlockingConnection, name: str) -> None:
    """A consumer of higher priority gets everything as long as it has room; then the next one."""
    publisher = connection.channel()
    publisher.queue_declare(name)
    low, high = connection.channel(), connection.channel()
    low_inbox = Inbox(low, name, arguments={"x-priority": 1})
    high.basic_qos(prefetch_count=3)
    high_inbox = Inbox(high, name, arguments={"x-priority": 10})
    publish(publisher, name, *[b"%d" % number for number in range(5)])
    settle(low_inbox, high_inbox)
    assert (high_inbox.bodies, low_inbox.bodies) == ([b"0", b"1", b"2"], [b"3", b"4"])


def test_consumers_of_one_priority_take_turns(channel: BlockingChannel, name: str) -> None:
    """rabbitmq.com/docs/consumer-priority: no priority is 0, and below that are the negative ones."""
    channel.queue_declare(name)
    priorities: list[dict[str, Any]] = [{"x-priority": -1}, {"x-priority": 5}, {"x-priority": 5}, {}]
    inboxes = [Inbox(channel, name, arguments=arguments) for arguments in priorities]
    publish(channel, name, *[b"%d" % number for number in range(5)])
    settle(*inboxes)
    assert [inbox.bodies for inbox in inboxes] == [[], [b"0", b"2", b"4"], [b"1", b"3"], []]
    for inbox in inboxes[1:3]:
        channel.basic_cancel(inbox.tag)
    publish(channel, name, b"5")
    assert bodies(inboxes[3].take(1)) == [b"5"]


def test_an_exclusive_consumer_admits_no_second(connection: BlockingConnection, name: str) -> None:
    first, second = connection.channel(), connection.channel()
    first.queue_declare(name)
    first.basic_consume(name, lambda *_: None, exclusive=True)
    with channel_refused(403, f"ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use"):
        second.basic_consume(name, lambda *_: None)


def test_a_consumer_cannot_be_exclusive_beside_another(connection: BlockingConnection, name: str) -> None:
    first, second = connection.channel(), connection.channel()
    first.queue_declare(name)
    first.basic_consume(name, lambda *_: None)
    with channel_refused(403, f"ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use"):
        second.basic_consume(name, lambda *_: None, exclusive=True)


def test_after_an_exclusive_consumer_has_gone_others_may_come(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_cancel(Inbox(channel, name, exclusive=True).tag)
    Inbox(channel, name)
    Inbox(channel, name)
    assert consumers(channel, name) == 2


def test_the_consumer_is_told_when_its_queue_is_deleted(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    inbox = Inbox(channel, name)
    connection.channel().queue_delete(name)
    until(lambda: inbox.cancelled, connection)
    assert channel.is_open


def test_a_client_that_cannot_take_the_notice_is_not_told(
    connect: Connect, channel: BlockingChannel, name: str
) -> None:
    plain = connect(client_properties={"capabilities": {"consumer_cancel_notify": False}}).channel()
    channel.queue_declare(name)
    told, untold = Inbox(channel, name), Inbox(plain, name)
    channel.connection.channel().queue_delete(name)
    until(lambda: told.cancelled, channel.connection)
    for _ in range(2):
        plain.exchange_declare("amq.direct", passive=True)
    assert not untold.cancelled and plain.is_open


def test_no_ack_deliveries_are_gone_at_once(connect: Connect, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2")
    consumer = connect()
    inbox = Inbox(consumer.channel(), name, auto_ack=True)
    assert bodies(inbox.take(2)) == [b"1", b"2"]
    consumer.close()
    assert drain(channel, name) == []


def test_no_ack_deliveries_cannot_be_acknowledged(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1")
    tag = Inbox(channel, name, auto_ack=True).take(1)[0].tag
    with channel_refused(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"):
        channel.basic_ack(tag)
        ready(channel, name)


def test_single_active_consumer_hands_over_to_the_next(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    first, second = Inbox(channel, name), Inbox(channel, name)
    publish(channel, name, b"1", b"2")
    settle(first, second)
    assert (first.bodies, second.bodies) == ([b"1", b"2"], [])
    channel.basic_cancel(first.tag)
    publish(channel, name, b"3")
    assert bodies(second.take(1)) == [b"3"]


def test_the_next_active_consumer_is_the_one_of_the_highest_priority(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    first, low, high = (Inbox(channel, name, arguments={"x-priority": priority}) for priority in (0, 1, 5))
    publish(channel, name, b"1")
    assert bodies(first.take(1)) == [b"1"]
    channel.basic_cancel(first.tag)
    publish(channel, name, b"2")
    assert bodies(high.take(1)) == [b"2"]
    channel.basic_cancel(high.tag)
    publish(channel, name, b"3")
    assert bodies(low.take(1)) == [b"3"]


@pytest.mark.not_on_rabbitmq("3.10 hands over, but delivers what waits only when something else happens to the queue")
def test_the_next_active_consumer_gets_at_once_what_waits(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    channel.basic_qos(prefetch_count=1)
    first, second = Inbox(channel, name), Inbox(channel, name)
    publish(channel, name, b"1", b"2")
    settle(first, second)
    assert (first.bodies, second.bodies) == ([b"1"], [])
    channel.basic_cancel(first.tag)
    assert bodies(second.take(1)) == [b"2"]


def test_the_active_consumers_channel_ends_and_its_messages_go_to_the_next(
    connection: BlockingConnection, name: str
) -> None:
    channel, other = connection.channel(), connection.channel()
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    first = Inbox(channel, name)
    publish(other, name, b"1", b"2")
    first.take(2)
    second = Inbox(other, name)
    channel.close()
    assert [(delivery.body, delivery.redelivered) for delivery in second.take(2)] == [(b"1", True), (b"2", True)]


def test_get_is_allowed_beside_a_single_active_consumer(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    publish(channel, name, b"x")
    assert drain(channel, name) == [b"x"]


def test_single_active_consumer_admits_no_exclusive_one(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    with channel_refused(403, f"ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use"):
        channel.basic_consume(name, lambda *_: None, exclusive=True)


@pytest.mark.parametrize("tag", ["ключ", "with space", "x" * 255])
def test_any_text_is_a_consumer_tag(channel: BlockingChannel, name: str, tag: str) -> None:
    channel.queue_declare(name)
    inbox = Inbox(channel, name, consumer_tag=tag)
    publish(channel, name, b"x")
    assert inbox.take(1)[0].method.consumer_tag == tag
