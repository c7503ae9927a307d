"""Prefetch: how many unacknowledged messages a consumer, or a whole channel, may hold.

rabbitmq.com/docs/consumer-prefetch, docs/confirms (channel prefetch); AMQP 0-9-1 classes basic: qos, channel: flow.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import Inbox, connection_refused, publish, ready, settle, until

Connect = Callable[..., BlockingConnection]
NUMBERS = [b"%d" % number for number in range(10)]


@pytest.fixture
def queue(channel: BlockingChannel, name: str) -> str:
    """A queue with the messages 0 to 9."""
    channel.queue_declare(name)
    publish(channel, name, *NUMBERS)
    assert ready(channel, name) == len(NUMBERS)
    return name


def test_prefetch_limits_each_consumer_on_its_own(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=2)
    first, second = Inbox(channel, queue), Inbox(channel, queue)
    settle(first, second)
    assert (len(first.bodies), len(second.bodies), ready(channel, queue)) == (2, 2, 6)


def test_prefetch_counts_for_consumers_started_after_it(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=3)
    first = Inbox(channel, queue)
    channel.basic_qos(prefetch_count=1)
    second = Inbox(channel, queue)
    settle(first, second)
    assert (len(first.bodies), len(second.bodies)) == (3, 1)


def test_without_prefetch_everything_is_delivered(channel: BlockingChannel, queue: str) -> None:
    inbox = Inbox(channel, queue)
    assert inbox.settle() == NUMBERS


def test_prefetch_zero_is_no_limit(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=1)
    channel.basic_qos(prefetch_count=0)
    assert Inbox(channel, queue).settle() == NUMBERS


def test_each_acknowledgement_lets_one_more_out(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=2)
    inbox = Inbox(channel, queue)
    assert inbox.settle() == NUMBERS[:2]
    channel.basic_ack(inbox.deliveries[0].tag)
    assert inbox.settle() == NUMBERS[:3]
    channel.basic_ack(inbox.deliveries[2].tag, multiple=True)
    assert inbox.settle() == NUMBERS[:5]


def test_nack_and_reject_make_room_too(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, queue)
    channel.basic_nack(inbox.take(1)[0].tag, requeue=False)
    channel.basic_reject(inbox.take(1)[0].tag, requeue=False)
    assert inbox.settle() == [b"2"]


def test_no_ack_consumers_are_not_limited(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=1)
    assert Inbox(channel, queue, auto_ack=True).settle() == NUMBERS


def test_a_cancelled_consumers_messages_do_not_count_for_the_next(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=2)
    first = Inbox(channel, queue)
    first.settle()
    channel.basic_cancel(first.tag)
    assert Inbox(channel, queue).settle() == NUMBERS[2:4]


def test_global_prefetch_is_shared_by_the_consumers_of_the_channel(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=3, global_qos=True)
    first, second = Inbox(channel, queue), Inbox(channel, queue)
    settle(first, second)
    assert len(first.bodies) + len(second.bodies) == 3


def test_global_prefetch_is_shared_between_queues(channel: BlockingChannel, queue: str, name: str) -> None:
    channel.queue_declare(name + "-b")
    publish(channel, name + "-b", *NUMBERS)
    channel.basic_qos(prefetch_count=4, global_qos=True)
    first, second = Inbox(channel, queue), Inbox(channel, name + "-b")
    settle(first, second)
    assert len(first.bodies) + len(second.bodies) == 4


def test_global_prefetch_of_one_channel_leaves_another_alone(
    connection: BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    channel.basic_qos(prefetch_count=1, global_qos=True)
    limited, free = Inbox(channel, queue), Inbox(connection.channel(), queue)
    settle(limited, free)
    assert (len(limited.bodies), len(free.bodies)) == (1, 9)


def test_both_limits_hold_together(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=2)
    channel.basic_qos(prefetch_count=3, global_qos=True)
    first, second = Inbox(channel, queue), Inbox(channel, queue)
    settle(first, second)
    counts = sorted([len(first.bodies), len(second.bodies)])
    assert counts == [1, 2]


def test_a_higher_global_prefetch_lets_waiting_messages_out(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=1, global_qos=True)
    inbox = Inbox(channel, queue)
    assert inbox.settle() == NUMBERS[:1]
    channel.basic_qos(prefetch_count=4, global_qos=True)
    assert inbox.settle() == NUMBERS[:4]
    channel.basic_qos(prefetch_count=0, global_qos=True)
    assert inbox.settle() == NUMBERS


def test_a_lower_global_prefetch_takes_nothing_back(channel: BlockingChannel, queue: str) -> None:
    channel.basic_qos(prefetch_count=4, global_qos=True)
    inbox = Inbox(channel, queue)
    inbox.settle()
    channel.basic_qos(prefetch_count=2, global_qos=True)
    channel.basic_ack(inbox.deliveries[1].tag, multiple=True)
    assert inbox.settle() == NUMBERS[:4]
    channel.basic_ack(inbox.deliveries[2].tag)
    assert inbox.settle() == NUMBERS[:5]


def test_prefetch_size_is_not_implemented(channel: BlockingChannel) -> None:
    with connection_refused(540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)"):
        channel.basic_qos(prefetch_size=10)


def test_with_prefetch_one_a_busy_worker_gets_nothing_more(
    connect: Connect, channel: BlockingChannel, name: str
) -> None:
    """Fair dispatch: while one worker holds its message, the other one does all the work."""
    channel.queue_declare(name)
    busy, quick = (connect().channel() for _ in range(2))
    for worker in (busy, quick):
        worker.basic_qos(prefetch_count=1)
    busy_inbox, quick_inbox = Inbox(busy, name), Inbox(quick, name)
    publish(channel, name, *NUMBERS)
    done: list[bytes] = []
    held = busy_inbox.take(1)[0].body
    while len(done) < 9:
        delivery = quick_inbox.take(1)[0]
        done.append(delivery.body)
        quick.basic_ack(delivery.tag)
    settle(busy_inbox, quick_inbox)
    assert sorted([held, *done]) == NUMBERS and done == sorted(done)
    assert (busy_inbox.bodies, quick_inbox.bodies) == ([], [])


def test_a_full_consumer_is_passed_over(connect: Connect, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    small, large = (connect().channel() for _ in range(2))
    small.basic_qos(prefetch_count=1)
    large.basic_qos(prefetch_count=5)
    inboxes = [Inbox(small, name), Inbox(large, name)]
    publish(channel, name, *NUMBERS)
    settle(*inboxes)
    assert [len(inbox.bodies) for inbox in inboxes] == [1, 5]
    assert ready(channel, name) == 4


def test_what_waits_goes_to_a_consumer_that_comes_later(connect: Connect, channel: BlockingChannel, queue: str) -> None:
    first = connect().channel()
    first.basic_qos(prefetch_count=1)
    Inbox(first, queue).take(1)
    assert Inbox(channel, queue).settle() == NUMBERS[1:]


def test_flow_off_is_not_implemented(channel: BlockingChannel) -> None:
    with connection_refused(540, "NOT_IMPLEMENTED - active=false"):
        channel.flow(False)


def test_flow_on_is_answered(channel: BlockingChannel) -> None:
    replies: list[bool] = []
    channel._impl.flow(True, callback=replies.append)
    until(lambda: bool(replies), channel.connection)
    assert replies == [True]
