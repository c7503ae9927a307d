"""Transactions: publishes and acknowledgements of a channel happen at commit, or not at all.

rabbitmq.com/docs/semantics (tx), docs/confirms (modes exclude each other); AMQP 0-9-1 class tx.
"""

from __future__ import annotations

from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import Inbox, bodies, bound_queue, channel_refused, drain, publish, ready, settle, until


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


def test_what_is_published_goes_where_it_would_have_gone_at_once(channel: BlockingChannel, name: str) -> None:
    """Routed on publishing: bindings made or removed before the commit change nothing."""
    before, after = bound_queue(channel, "amq.direct", name), bound_queue(channel, "amq.direct")
    channel.tx_select()
    channel.basic_publish("amq.direct", name, b"x")
    ready(channel, before)
    channel.queue_unbind(before, "amq.direct", name)
    channel.queue_bind(after, "amq.direct", name)
    channel.tx_commit()
    assert (drain(channel, before), drain(channel, after)) == ([b"x"], [])


def test_an_exchange_deleted_before_the_commit_is_missed_by_nobody(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout")
    queue = bound_queue(channel, name, "")
    channel.tx_select()
    channel.basic_publish(name, "", b"x")
    channel.exchange_delete(name)
    channel.tx_commit()
    assert drain(channel, queue) == [b"x"]


def test_a_queue_deleted_before_the_commit_makes_the_message_unroutable(channel: BlockingChannel, name: str) -> None:
    returned: list[Any] = []
    channel.add_on_return_callback(lambda *got: returned.append(got[1]))
    channel.queue_declare(name)
    channel.tx_select()
    channel.basic_publish("", name, b"x", mandatory=True)
    channel.queue_delete(name)
    channel.tx_commit()
    until(lambda: bool(returned), channel.connection)
    assert (returned[0].reply_code, returned[0].routing_key) == (312, name)


def test_a_mandatory_message_comes_back_before_commit_is_answered(channel: BlockingChannel, name: str) -> None:
    returned: list[Any] = []
    channel._impl.add_on_return_callback(lambda *got: returned.append(got[1]))
    channel.tx_select()
    channel.basic_publish("", name, b"x", mandatory=True)
    channel.queue_declare("", exclusive=True)
    assert returned == []
    channel.tx_commit()
    assert [method.reply_code for method in returned] == [312]


def test_a_closed_channel_takes_its_transaction_along(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name)
    channel.tx_select()
    channel.basic_publish("", name, b"x")
    channel.close()
    assert drain(connection.channel(), name) == []


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        (pika.BasicProperties(expiration="abc"), "invalid expiration 'abc': no_integer"),
        (pika.BasicProperties(headers={"CC": "k"}), 'invalid message: {unacceptable_type_in_header,"CC",longstr}'),
        (pika.BasicProperties(user_id="x"), "user_id property set to 'x' but authenticated user was 'guest'"),
    ],
    ids=["expiration", "CC", "user_id"],
)
def test_an_invalid_message_is_refused_before_the_commit(
    channel: BlockingChannel, name: str, properties: pika.BasicProperties, text: str
) -> None:
    channel.queue_declare(name)
    channel.tx_select()
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.basic_publish("", name, b"x", properties)
        ready(channel, name)


def test_publish_to_a_missing_exchange_is_404_before_the_commit(channel: BlockingChannel, name: str) -> None:
    channel.tx_select()
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        channel.basic_publish(name, "k", b"x")
        channel.queue_declare("", exclusive=True)


def test_a_tag_can_be_acknowledged_once_in_a_transaction(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x")
    channel.tx_select()
    tag = channel.basic_get(name)[0].delivery_tag
    channel.basic_ack(tag)
    with channel_refused(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"):
        channel.basic_ack(tag)
        ready(channel, name)


def test_acknowledgements_make_room_at_the_commit(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", b"2", b"3")
    channel.tx_select()
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, name)
    channel.basic_ack(inbox.take(1)[0].tag)
    assert inbox.settle() == []
    channel.tx_commit()
    assert bodies(inbox.take(1)) == [b"2"]


def test_select_twice_is_ok(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.tx_select()
    channel.basic_publish("", name, b"x")
    channel.tx_select()
    channel.tx_commit()
    assert drain(channel, name) == [b"x"]
