"""Acknowledging: ack, nack, reject, recover, delivery tags, and where a message goes that is given back.

rabbitmq.com/docs/confirms (consumer acknowledgements), docs/nack, docs/semantics (order of what is given back);
AMQP 0-9-1 classes: basic.ack, basic.reject, basic.recover.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import (
    Inbox,
    bodies,
    channel_refused,
    connection_refused,
    drain,
    publish,
    ready,
    settle,
)

Connect = Callable[..., BlockingConnection]


def unknown(tag: int) -> str:
    return f"PRECONDITION_FAILED - unknown delivery tag {tag}"


@pytest.fixture
def tags(channel: BlockingChannel, name: str) -> list[int]:
    """The tags of messages 1 to 5, held by `channel`."""
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3", b"4", b"5")
    return [channel.basic_get(name)[0].delivery_tag for _ in range(5)]


def left_after_close(channel: BlockingChannel, queue: str) -> list[bytes]:
    """What comes back when the channel ends: all it had not acknowledged."""
    connection = channel.connection
    channel.close()
    return drain(connection.channel(), queue)


def test_ack_takes_one_message_off(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    channel.basic_ack(tags[2])
    assert left_after_close(channel, name) == [b"1", b"2", b"4", b"5"]


def test_ack_multiple_takes_all_up_to_the_tag(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    channel.basic_ack(tags[2], multiple=True)
    assert left_after_close(channel, name) == [b"4", b"5"]


def test_ack_multiple_zero_takes_everything_outstanding(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    channel.basic_ack(0, multiple=True)
    assert left_after_close(channel, name) == []


def test_ack_multiple_zero_with_nothing_outstanding_is_ok(channel: BlockingChannel, name: str) -> None:
    channel.basic_ack(0, multiple=True)
    channel.queue_declare(name)
    assert channel.is_open


def test_acks_may_come_out_of_order(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    for tag in (tags[4], tags[0], tags[2]):
        channel.basic_ack(tag)
    channel.basic_ack(tags[3], multiple=True)
    assert left_after_close(channel, name) == []


def test_ack_multiple_skips_what_is_acknowledged_already(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    channel.basic_ack(tags[1])
    channel.basic_ack(tags[3], multiple=True)
    assert left_after_close(channel, name) == [b"5"]


@pytest.mark.parametrize("verb", ["basic_ack", "basic_nack", "basic_reject"])
def test_an_unknown_tag_ends_the_channel(channel: BlockingChannel, name: str, verb: str) -> None:
    channel.queue_declare(name)
    with channel_refused(406, unknown(99)):
        getattr(channel, verb)(99)
        ready(channel, name)


def test_ack_multiple_of_an_unknown_tag_ends_the_channel(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    with channel_refused(406, unknown(99)):
        channel.basic_ack(99, multiple=True)
        ready(channel, name)


def test_ack_zero_alone_ends_the_channel(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    with channel_refused(406, unknown(0)):
        channel.basic_ack(0)
        ready(channel, name)


def test_an_ack_repeated_ends_the_channel(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    channel.basic_ack(tags[0])
    with channel_refused(406, unknown(tags[0])):
        channel.basic_ack(tags[0])
        ready(channel, name)


def test_another_channels_tag_is_unknown(
    connection: BlockingConnection, channel: BlockingChannel, name: str, tags: list[int]
) -> None:
    other = connection.channel()
    with channel_refused(406, unknown(tags[0])):
        other.basic_ack(tags[0])
        ready(other, name)
    assert channel.is_open
    channel.basic_ack(tags[0])
    assert ready(channel, name) == 0


def test_a_wrong_tag_gives_back_all_the_channel_held(
    connection: BlockingConnection, channel: BlockingChannel, name: str, tags: list[int]
) -> None:
    with channel_refused(406, unknown(99)):
        channel.basic_ack(99)
        ready(channel, name)
    assert drain(connection.channel(), name) == [b"1", b"2", b"3", b"4", b"5"]


def test_delivery_tags_count_from_one_on_each_channel(connection: BlockingConnection, name: str) -> None:
    for _ in range(2):
        channel = connection.channel()
        channel.queue_declare(name)
        publish(channel, name, b"a", b"b")
        assert [channel.basic_get(name)[0].delivery_tag for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("verb", ["basic_nack", "basic_reject"])
def test_a_message_given_back_returns_to_its_place_marked_redelivered(
    channel: BlockingChannel, name: str, verb: str
) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3")
    tag = channel.basic_get(name)[0].delivery_tag
    getattr(channel, verb)(tag, requeue=True)
    got = [channel.basic_get(name) for _ in range(3)]
    assert [body for *_, body in got] == [b"1", b"2", b"3"]
    assert [method.redelivered for method, *_ in got] == [True, False, False]


@pytest.mark.parametrize("verb", ["basic_nack", "basic_reject"])
def test_a_message_rejected_without_requeue_is_gone(
    connection: BlockingConnection, channel: BlockingChannel, name: str, tags: list[int], verb: str
) -> None:
    getattr(channel, verb)(tags[1], requeue=False)
    assert left_after_close(channel, name) == [b"1", b"3", b"4", b"5"]


def test_nack_multiple_gives_back_all_up_to_the_tag_in_order(
    channel: BlockingChannel, name: str, tags: list[int]
) -> None:
    channel.basic_nack(tags[2], multiple=True)
    assert ready(channel, name) == 3
    assert drain(channel, name) == [b"1", b"2", b"3"]


def test_nack_multiple_zero_gives_back_everything(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    channel.basic_nack(0, multiple=True)
    assert drain(channel, name) == [b"1", b"2", b"3", b"4", b"5"]


def test_messages_given_back_in_any_order_stand_in_the_original_order(
    channel: BlockingChannel, name: str, tags: list[int]
) -> None:
    publish(channel, name, b"6")
    for position in (3, 0, 4, 2, 1):
        channel.basic_nack(tags[position])
    assert drain(channel, name) == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_messages_held_by_two_channels_come_back_in_the_original_order(
    connection: BlockingConnection, name: str
) -> None:
    first, second = connection.channel(), connection.channel()
    first.queue_declare(name)
    publish(first, name, b"1", b"2", b"3", b"4", b"5")
    for channel in (first, second, first, second):
        channel.basic_get(name)
    second.close()
    first.close()
    assert drain(connection.channel(), name) == [b"1", b"2", b"3", b"4", b"5"]


def test_a_connection_that_ends_gives_back_in_order_and_marked(
    connect: Connect, channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3")
    other = connect()
    Inbox(other.channel(), name).take(3)
    other.close()
    got = [channel.basic_get(name) for _ in range(3)]
    assert [(body, method.redelivered) for method, _, body in got] == [(b"%d" % n, True) for n in (1, 2, 3)]


def test_a_channel_that_ends_hands_its_messages_to_the_other_consumer(
    connection: BlockingConnection, name: str
) -> None:
    first, second = connection.channel(), connection.channel()
    first.queue_declare(name)
    publish(first, name, b"1", b"2", b"3")
    Inbox(first, name).take(3)
    waiting = Inbox(second, name)
    first.close()
    assert [(d.body, d.redelivered) for d in waiting.take(3)] == [(b"%d" % n, True) for n in (1, 2, 3)]


def test_requeued_messages_go_out_again_to_the_only_consumer(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, name)
    publish(channel, name, b"1", b"2")
    first = inbox.take(1)[0]
    channel.basic_nack(first.tag)
    again = inbox.take(1)[0]
    assert (again.body, again.redelivered, again.tag) == (b"1", True, first.tag + 1)


def test_recover_gives_everything_back(channel: BlockingChannel, name: str, tags: list[int]) -> None:
    channel.basic_ack(tags[0])
    channel.basic_recover(requeue=True)
    got = [channel.basic_get(name) for _ in range(4)]
    assert [body for *_, body in got] == [b"2", b"3", b"4", b"5"]
    assert all(method.redelivered for method, *_ in got)


def test_recover_redelivers_to_consumers_with_new_tags(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    inbox = Inbox(channel, name)
    publish(channel, name, b"1", b"2")
    inbox.take(2)
    channel.basic_recover(requeue=True)
    again = inbox.take(2)
    assert bodies(again) == [b"1", b"2"]
    assert [(delivery.tag, delivery.redelivered) for delivery in again] == [(3, True), (4, True)]


def test_recover_without_requeue_is_not_implemented(channel: BlockingChannel) -> None:
    with connection_refused(540, "NOT_IMPLEMENTED - requeue=false"):
        channel.basic_recover(requeue=False)


def test_a_message_acknowledged_never_comes_back(connect: Connect, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    other = connect()
    inbox = Inbox(other.channel(), name)
    publish(channel, name, *[b"%d" % number for number in range(100)])
    for delivery in inbox.take(100)[::2]:
        inbox.channel.basic_ack(delivery.tag)
    settle(inbox)
    other.close()
    assert drain(channel, name) == [b"%d" % number for number in range(1, 100, 2)]
