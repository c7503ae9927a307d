"""Queue limits: max-length, max-length-bytes, overflow.

rabbitmq.com/docs/maxlength.
"""

from __future__ import annotations

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import Confirms, Inbox, bodies, drain, publish, ready


def test_max_length_drops_the_oldest(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 3})
    publish(channel, name, *[b"%d" % number for number in range(10)])
    assert drain(channel, name) == [b"7", b"8", b"9"]


def test_max_length_bytes_counts_bodies(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length-bytes": 10})
    publish(channel, name, b"aaaa", b"bbbb", b"cc", b"dddd")
    assert drain(channel, name) == [b"bbbb", b"cc", b"dddd"]


def test_both_limits_hold_together(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 2, "x-max-length-bytes": 5})
    publish(channel, name, b"1", b"2", b"3")
    assert ready(channel, name) == 2
    publish(channel, name, b"12345")
    assert drain(channel, name) == [b"12345"]


def test_held_messages_do_not_count(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 2})
    publish(channel, name, b"1", b"2")
    channel.basic_get(name)
    publish(channel, name, b"3")
    assert drain(channel, name) == [b"2", b"3"]


def test_length_zero_still_delivers_to_a_waiting_consumer(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 0})
    publish(channel, name, b"lost")
    inbox = Inbox(channel, name)
    publish(channel, name, b"x")
    assert bodies(inbox.take(1)) == [b"x"]


def test_reject_publish_keeps_the_oldest(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    for number in range(5):
        channel.basic_publish("", name, b"%d" % number)
    assert drain(channel, name) == [b"0", b"1"]


def test_a_message_given_back_to_a_full_queue_is_the_oldest_and_goes(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 2})
    publish(channel, name, b"1", b"2")
    tag = channel.basic_get(name)[0].delivery_tag
    publish(channel, name, b"3")
    channel.basic_nack(tag)
    assert ready(channel, name) == 2
    assert drain(channel, name) == [b"2", b"3"]


def test_a_message_larger_than_the_bytes_allowed_is_dropped(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length-bytes": 5})
    publish(channel, name, b"123456")
    assert ready(channel, name) == 0
    publish(channel, name, b"12345", b"")
    assert drain(channel, name) == [b"12345", b""]


def test_reject_publish_counts_bytes_with_the_message_that_comes(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length-bytes": 5, "x-overflow": "reject-publish"})
    confirms = Confirms(channel)
    for body in (b"123", b"456", b"12", b"", b"1234567"):
        confirms.publish("", name, body)
    confirms.wait(5)
    assert (confirms.acked, confirms.nacked) == ({1, 3, 4}, {2, 5})


def test_reject_publish_with_length_zero_takes_nothing_even_for_a_waiting_consumer(
    channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    inbox = Inbox(channel, name)
    confirms = Confirms(channel)
    confirms.publish("", name, b"x")
    confirms.wait(1)
    assert confirms.nacked == {1} and inbox.settle() == []


def test_refused_by_one_of_two_queues_is_nacked_and_in_the_other(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.queue_declare(name + "-free")
    for queue in (name, name + "-free"):
        channel.queue_bind(queue, "amq.direct", name)
    confirms = Confirms(channel)
    for body in (b"1", b"2"):
        confirms.publish("amq.direct", name, body)
    confirms.wait(2)
    assert (confirms.acked, confirms.nacked) == ({1}, {2})
    assert drain(channel, name) == [b"1"] and drain(channel, name + "-free") == [b"1", b"2"]


def test_a_queue_that_rejected_takes_messages_again_when_there_is_room(
    connection: BlockingConnection, name: str
) -> None:
    channel = connection.channel()
    channel.queue_declare(name, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    publish(channel, name, b"1")
    confirms = Confirms(connection.channel())
    confirms.publish("", name, b"2")
    confirms.wait(1)
    assert confirms.nacked == {1}
    channel.basic_get(name, auto_ack=True)
    publish(channel, name, b"3")
    assert drain(channel, name) == [b"3"]
