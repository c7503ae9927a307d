"""Message priorities: the order in which a queue with x-max-priority gives its messages.

rabbitmq.com/docs/priority, with what docs/ttl, docs/maxlength and docs/parameters say of such queues; AMQP 0-9-1
section 4.7 (order of messages). The order is strict here: consumers start after the messages are in the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from conformance.support import Confirms, Inbox, bodies, channel_refused, drain, ready, until

Connect = Callable[..., BlockingConnection]


def prioritised(channel: BlockingChannel, queue: str, maximum: int = 10, **arguments: Any) -> None:
    """Declare `queue` with x-max-priority; further arguments are named with underscores."""
    others = {name.replace("_", "-"): value for name, value in arguments.items()}
    channel.queue_declare(queue, arguments={"x-max-priority": maximum, **others})


def send(channel: BlockingChannel, queue: str, *messages: tuple[int | None, bytes], **properties: Any) -> None:
    """Publish bodies with their priorities, in this order, and wait until they are in the queue."""
    publisher = channel.connection.channel()
    confirms = Confirms(publisher)
    for priority, body in messages:
        confirms.publish("", queue, body, properties=pika.BasicProperties(priority=priority, **properties))
    confirms.wait(len(messages))
    publisher.close()


def after_60_ms(channel: BlockingChannel, name: str) -> None:
    """Return when what a message of 60 ms shows to be over is over: it has expired from a queue of its own."""
    channel.queue_declare(name + "-clock", arguments={"x-message-ttl": 60})
    channel.basic_publish("", name + "-clock", b"x")
    until(lambda: ready(channel, name + "-clock") == 0)


# ---- the order


def test_higher_priorities_come_first(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (1, b"1"), (10, b"10"), (5, b"5"), (0, b"0"), (7, b"7"))
    assert drain(channel, name) == [b"10", b"7", b"5", b"1", b"0"]


def test_messages_of_one_priority_keep_their_order(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, *[(number % 3, b"%d" % number) for number in range(30)])
    expected = [b"%d" % number for level in (2, 1, 0) for number in range(30) if number % 3 == level]
    assert drain(channel, name) == expected


def test_no_priority_counts_as_zero(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (None, b"none"), (0, b"0"), (1, b"1"), (None, b"none again"))
    assert drain(channel, name) == [b"1", b"none", b"0", b"none again"]


@pytest.mark.parametrize("above", [3, 100, 255])
def test_above_the_maximum_counts_as_the_maximum(channel: BlockingChannel, name: str, above: int) -> None:
    prioritised(channel, name, 2)
    send(channel, name, (1, b"1"), (2, b"2"), (above, b"above"), (2, b"2 again"))
    assert drain(channel, name) == [b"2", b"above", b"2 again", b"1"]


def test_the_properties_keep_the_priority_that_was_given(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, 2)
    send(channel, name, (200, b"high"), (None, b"none"))
    assert [channel.basic_get(name)[1].priority for _ in range(2)] == [200, None]


def test_all_255_priorities_are_told_apart(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, 255)
    send(channel, name, *[(priority, b"%d" % priority) for priority in range(256)])
    assert drain(channel, name) == [b"%d" % priority for priority in reversed(range(256))]


def test_a_queue_without_the_argument_knows_no_priorities(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    send(channel, name, (1, b"1"), (9, b"9"), (5, b"5"))
    assert drain(channel, name) == [b"1", b"9", b"5"]


# ---- what may be declared


def test_a_maximum_of_zero_is_one_priority_only(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, 0)
    send(channel, name, (0, b"0"), (9, b"9"), (1, b"1"))
    assert drain(channel, name) == [b"0", b"9", b"1"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (256, "{max_value_exceeded,256}"),
        (-1, "{value_negative,-1}"),
        ("5", '"expected integer, got longstr"'),
        (True, '"expected integer, got bool"'),
    ],
)
def test_a_maximum_that_is_none_is_refused(channel: BlockingChannel, name: str, value: Any, reason: str) -> None:
    text = f"PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue '{name}' in vhost '/': {reason}"
    with channel_refused(406, text):
        channel.queue_declare(name, arguments={"x-max-priority": value})


def test_the_maximum_cannot_be_changed(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, 5)
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue '{name}' in vhost '/': "
        "received '6' but current is '5'"
    )
    with channel_refused(406, text):
        prioritised(channel, name, 6)


def test_a_policy_cannot_set_the_maximum(managed_broker: Broker) -> None:
    """docs/priority: priorities belong to a queue from its declaration on, so that only an argument can ask for them."""
    policy = {"pattern": ".*", "definition": {"max-priority": 5}}
    answer = httpx.put(f"{managed_broker.management_url}/api/policies/%2F/priorities", json=policy)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")


# ---- given back


@pytest.mark.parametrize("verb", ["basic_nack", "basic_reject"])
def test_a_message_given_back_returns_to_its_place_within_its_priority(
    channel: BlockingChannel, name: str, verb: str
) -> None:
    prioritised(channel, name)
    send(channel, name, (3, b"3a"), (3, b"3b"))
    tag = channel.basic_get(name)[0].delivery_tag
    send(channel, name, (5, b"5"), (3, b"3c"))
    getattr(channel, verb)(tag, requeue=True)
    assert drain(channel, name) == [b"5", b"3a", b"3b", b"3c"]


def test_messages_of_several_priorities_given_back_at_once_all_return_to_their_places(
    connection: BlockingConnection, name: str
) -> None:
    channel = connection.channel()
    prioritised(channel, name)
    send(channel, name, (1, b"1a"), (1, b"1b"), (2, b"2a"), (2, b"2b"), (3, b"3a"))
    held = [channel.basic_get(name)[2] for _ in range(4)]
    assert held == [b"3a", b"2a", b"2b", b"1a"]
    other = connection.channel()
    send(other, name, (3, b"3b"))
    channel.close()
    got = [other.basic_get(name) for _ in range(6)]
    assert [body for *_, body in got] == [b"3a", b"3b", b"2a", b"2b", b"1a", b"1b"]
    assert [method.redelivered for method, *_ in got] == [True, False, True, True, True, False]


def test_recover_gives_back_in_order(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (1, b"1"), (2, b"2a"), (2, b"2b"))
    for _ in range(3):
        channel.basic_get(name)
    channel.basic_recover(requeue=True)
    assert drain(channel, name) == [b"2a", b"2b", b"1"]


# ---- consumers


def test_a_consumer_gets_the_waiting_messages_in_order(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, *[(number, b"%d" % number) for number in range(10)])
    assert bodies(Inbox(channel, name).take(10)) == [b"%d" % number for number in reversed(range(10))]


def test_with_prefetch_what_comes_meanwhile_is_sorted_in(channel: BlockingChannel, name: str) -> None:
    """What a consumer holds is out of the queue; of the rest it always gets the highest next."""
    prioritised(channel, name)
    send(channel, name, (1, b"1a"), (1, b"1b"))
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, name)
    first = inbox.take(1)[0]
    send(channel, name, (2, b"2"), (9, b"9"))
    got = [first.body]
    channel.basic_ack(first.tag)
    for _ in range(3):
        delivery = inbox.take(1)[0]
        got.append(delivery.body)
        channel.basic_ack(delivery.tag)
    assert got == [b"1a", b"9", b"2", b"1b"]


def test_a_waiting_consumer_gets_whatever_comes(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    inbox = Inbox(channel, name)
    for priority in (1, 9, 5):
        send(channel, name, (priority, b"%d" % priority))
    assert bodies(inbox.take(3)) == [b"1", b"9", b"5"]


def test_get_takes_the_highest_and_counts_all(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (1, b"1"), (3, b"3"), (2, b"2"))
    got = [channel.basic_get(name) for _ in range(3)]
    assert [(body, method.message_count) for method, _, body in got] == [(b"3", 2), (b"2", 1), (b"1", 0)]
    assert channel.basic_get(name) == (None, None, None)


def test_consumer_priorities_and_message_priorities_go_together(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (1, b"1"), (9, b"9"), (5, b"5"))
    channel.basic_qos(prefetch_count=1)
    high = Inbox(channel, name, arguments={"x-priority": 10})
    assert bodies(high.take(1)) == [b"9"]
    low = Inbox(channel, name, arguments={"x-priority": 1})
    assert bodies(low.take(1)) == [b"5"]


# ---- counts, purge, delete


def test_counts_purge_and_delete_take_all_priorities_together(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (1, b"1"), (9, b"9"), (5, b"5"))
    held = channel.basic_get(name)[0]
    assert ready(channel, name) == 2
    assert channel.queue_purge(name).method.message_count == 2
    channel.basic_nack(held.delivery_tag)
    send(channel, name, (2, b"2"))
    assert channel.queue_delete(name).method.message_count == 2


def test_a_purge_forgets_no_held_message(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (1, b"1"), (9, b"9"), (5, b"5"))
    held = channel.basic_get(name)
    assert held[2] == b"9"
    channel.queue_purge(name)
    send(channel, name, (3, b"3"))
    channel.basic_nack(held[0].delivery_tag)
    assert drain(channel, name) == [b"9", b"3"]


# ---- expiry


def test_an_expired_message_behind_a_higher_one_is_never_delivered(channel: BlockingChannel, name: str) -> None:
    """docs/priority: expiry is at the head only, so it may still be counted while it waits behind the other one."""
    prioritised(channel, name)
    send(channel, name, (9, b"9 long"), expiration="600000")
    send(channel, name, (1, b"1 short"), expiration="30")
    after_60_ms(channel, name)
    assert drain(channel, name) == [b"9 long"]


def test_an_expired_message_behind_one_of_its_priority_is_never_delivered(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name)
    send(channel, name, (3, b"3 long"), expiration="600000")
    send(channel, name, (3, b"3 short"), expiration="30")
    send(channel, name, (5, b"5"), (3, b"3"))
    after_60_ms(channel, name)
    assert drain(channel, name) == [b"5", b"3 long", b"3"]


def test_the_queues_time_to_live_empties_all_priorities(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, x_message_ttl=40)
    send(channel, name, (1, b"1"), (9, b"9"), (5, b"5"))
    until(lambda: ready(channel, name) == 0)
    assert channel.basic_get(name)[0] is None


# ---- limits


def test_the_limit_drops_from_the_head_where_the_highest_priorities_are(channel: BlockingChannel, name: str) -> None:
    """docs/priority: as usual the head goes, so that higher priorities make room for lower ones."""
    prioritised(channel, name, x_max_length=3)
    send(channel, name, (1, b"1a"), (5, b"5a"), (1, b"1b"), (9, b"9"), (5, b"5b"))
    assert drain(channel, name) == [b"5b", b"1a", b"1b"]


def test_a_new_message_of_the_highest_priority_is_itself_the_one_dropped(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, x_max_length=2)
    send(channel, name, (5, b"5"), (1, b"1"), (9, b"9"))
    assert drain(channel, name) == [b"5", b"1"]


def test_the_limit_in_bytes_drops_from_the_head_too(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, x_max_length_bytes=10)
    send(channel, name, (1, b"1" * 4), (5, b"5" * 4), (9, b"9" * 4))
    assert drain(channel, name) == [b"5" * 4, b"1" * 4]


def test_reject_publish_refuses_whatever_the_priority(channel: BlockingChannel, name: str) -> None:
    prioritised(channel, name, x_max_length=2, x_overflow="reject-publish")
    confirms = Confirms(channel)
    for priority in (1, 2, 9):
        confirms.publish("", name, b"%d" % priority, properties=pika.BasicProperties(priority=priority))
    confirms.wait(3)
    assert (confirms.acked, confirms.nacked) == ({1, 2}, {3})
    assert drain(channel, name) == [b"2", b"1"]
