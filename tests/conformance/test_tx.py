"""Transactions: publishes and acknowledgements of a channel happen at commit, or not at all."""

from __future__ import annotations

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import Inbox, channel_refused, drain, publish, ready, settle


def test_commit_publishes(connection: BlockingConnection, name: str) -> None:
    channel, other = connection.channel(), connection.channel()
    channel.queue_declare(name)
    channel.tx_select()
    for body in (b"1", b"2"):
        channel.basic_publish("", name, body)
    assert ready(other, name) == ready(channel, name) == 0
    channel.tx_commit()
    assert drain(other, name) == [b"1", b"2"]


def test_rollback_drops_publishes(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.tx_select()
    channel.basic_publish("", name, b"1")
    channel.tx_rollback()
    channel.tx_commit()
    assert ready(channel, name) == 0


def test_commit_acknowledges(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2")
    channel.tx_select()
    for _ in range(2):
        channel.basic_ack(channel.basic_get(name)[0].delivery_tag)
    channel.tx_commit()
    channel.close()
    assert drain(connection.channel(), name) == []


def test_acknowledgements_without_commit_count_for_nothing(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2")
    channel.tx_select()
    for _ in range(2):
        channel.basic_ack(channel.basic_get(name)[0].delivery_tag)
    channel.close()
    assert drain(connection.channel(), name) == [b"1", b"2"]


def test_after_rollback_an_acknowledgement_can_be_given_again(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1")
    channel.tx_select()
    tag = channel.basic_get(name)[0].delivery_tag
    channel.basic_ack(tag)
    channel.tx_rollback()
    channel.basic_ack(tag)
    channel.tx_commit()
    channel.basic_recover(requeue=True)
    assert ready(channel, name) == 0


def test_a_requeue_waits_for_the_commit(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1")
    channel.tx_select()
    channel.basic_nack(channel.basic_get(name)[0].delivery_tag)
    assert ready(channel, name) == 0
    channel.tx_commit()
    assert ready(channel, name) == 1


def test_a_transaction_does_not_change_consuming(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2")
    channel.tx_select()
    inbox = Inbox(channel, name)
    settle(inbox)
    assert inbox.bodies == [b"1", b"2"]


def test_commit_without_select_is_refused(channel: BlockingChannel) -> None:
    with channel_refused(406, "PRECONDITION_FAILED - channel is not transactional"):
        channel.tx_commit()


def test_rollback_without_select_is_refused(channel: BlockingChannel) -> None:
    with channel_refused(406, "PRECONDITION_FAILED - channel is not transactional"):
        channel.tx_rollback()
