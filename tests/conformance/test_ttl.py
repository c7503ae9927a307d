"""Time to live of messages and queues. Times are small; every wait ends with the event, not with a clock.

rabbitmq.com/docs/ttl (messages, queues), docs/queues (leases).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import WITHIN_S, Inbox, bodies, channel_refused, drain, publish, queue_exists, ready, until

SOON = pika.BasicProperties(expiration="30")
AT_ONCE = pika.BasicProperties(expiration="0")
LONG = pika.BasicProperties(expiration="600000")


def test_a_queues_ttl_expires_its_messages(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-message-ttl": 30})
    publish(channel, name, b"1", b"2")
    until(lambda: ready(channel, name) == 0)


def test_a_messages_expiration_expires_it(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"1", properties=SOON)
    publish(channel, name, b"stays")
    until(lambda: ready(channel, name) == 1)
    assert drain(channel, name) == [b"stays"]


def test_the_lower_of_both_wins(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name + "-queue", arguments={"x-message-ttl": 30})
    channel.queue_declare(name + "-message", arguments={"x-message-ttl": 600_000})
    publish(channel, name + "-queue", b"x", properties=LONG)
    publish(channel, name + "-message", b"x", properties=SOON)
    until(lambda: ready(channel, name + "-queue") == ready(channel, name + "-message") == 0)


def test_expiration_zero_expires_what_cannot_be_delivered_at_once(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x", properties=AT_ONCE)
    until(lambda: ready(channel, name) == 0)
    assert channel.basic_get(name)[0] is None


def test_expiration_zero_reaches_a_waiting_consumer(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    inbox = Inbox(channel, name)
    publish(channel, name, b"x", properties=AT_ONCE)
    assert bodies(inbox.take(1)) == [b"x"]


def test_a_queue_ttl_of_zero_reaches_a_waiting_consumer(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-message-ttl": 0})
    inbox = Inbox(channel, name)
    publish(channel, name, b"x")
    assert bodies(inbox.take(1)) == [b"x"]


def test_a_longer_one_at_the_head_holds_the_shorter_ones_back(channel: BlockingChannel, name: str) -> None:
    """Classic queues expire from the head only: the second message is late until the first one goes."""
    channel.queue_declare(name)
    channel.queue_declare(name + "-clock")
    publish(channel, name, b"long", properties=LONG)
    publish(channel, name, b"short", properties=SOON)
    publish(channel, name + "-clock", b"x", properties=pika.BasicProperties(expiration="60"))
    until(lambda: ready(channel, name + "-clock") == 0)
    assert ready(channel, name) == 2
    assert channel.basic_get(name, auto_ack=True)[2] == b"long"
    until(lambda: ready(channel, name) == 0)


def test_an_expired_message_is_never_delivered(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    channel.queue_declare(name + "-clock")
    publish(channel, name, b"long", properties=LONG)
    publish(channel, name, b"short", properties=SOON)
    publish(channel, name, b"plain")
    publish(channel, name + "-clock", b"x", properties=pika.BasicProperties(expiration="60"))
    until(lambda: ready(channel, name + "-clock") == 0)
    assert drain(channel, name) == [b"long", b"plain"]


def test_a_held_message_does_not_expire_but_does_when_given_back(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-message-ttl": 1_000})
    channel.queue_declare(name + "-clock", arguments={"x-message-ttl": 1_500})
    publish(channel, name, b"x")
    tag = channel.basic_get(name)[0].delivery_tag
    publish(channel, name + "-clock", b"x")
    until(lambda: ready(channel, name + "-clock") == 0)
    channel.basic_nack(tag)
    until(lambda: ready(channel, name) == 0)
    assert channel.basic_get(name)[0] is None


def test_the_expiration_stays_in_the_properties(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x", properties=LONG)
    assert channel.basic_get(name, auto_ack=True)[1].expiration == "600000"


def test_an_unused_queue_expires(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name, arguments={"x-expires": 40})
    channel.queue_declare(name + "-kept", arguments={"x-expires": 600_000})
    publish(channel, name, b"messages are no use")
    until(lambda: not _listed(connection, name))
    assert queue_exists(connection, name + "-kept")


def test_a_queue_with_a_consumer_does_not_expire(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    channel.queue_declare(name, arguments={"x-expires": 500})
    inbox = Inbox(channel, name)
    channel.queue_declare(name + "-clock", arguments={"x-message-ttl": 800})
    publish(channel, name + "-clock", b"x")
    until(lambda: ready(channel, name + "-clock") == 0)
    publish(channel, name, b"x")
    assert bodies(inbox.take(1)) == [b"x"]
    channel.basic_cancel(inbox.tag)
    until(lambda: not _listed(connection, name))


USES: dict[str, Callable[[BlockingChannel, str], object]] = {
    "declare": lambda channel, queue: channel.queue_declare(queue, arguments={"x-expires": 2_000}),
    "passive declare": lambda channel, queue: channel.queue_declare(queue, passive=True),
    "get": lambda channel, queue: channel.basic_get(queue),
}


def test_declaring_and_getting_renew_the_lease_of_a_queue(channel: BlockingChannel, name: str) -> None:
    """All three queues are used in turn until a message with a longer life than theirs has expired."""
    queues = {f"{name}-{use}": act for use, act in USES.items()}
    for queue in queues:
        channel.queue_declare(queue, arguments={"x-expires": 2_000})
    channel.queue_declare(name + "-clock", arguments={"x-message-ttl": 2_500})
    publish(channel, name + "-clock", b"x")
    while ready(channel, name + "-clock"):
        for queue, act in queues.items():
            act(channel, queue)
    assert channel.is_open


def test_binding_and_purging_do_not_renew_the_lease(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-expires": 100})
    text = f"NOT_FOUND - no queue '{name}' in vhost '/'"
    deadline = time.monotonic() + WITHIN_S
    with channel_refused(404, text):
        while time.monotonic() < deadline:
            channel.queue_bind(name, "amq.direct", name)
            channel.queue_purge(name)


def test_a_redeclared_queue_counts_no_expired_messages(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-message-ttl": 30})
    publish(channel, name, b"1")
    until(lambda: channel.queue_declare(name, arguments={"x-message-ttl": 30}).method.message_count == 0)


def test_each_queue_counts_the_time_of_its_own_copy(channel: BlockingChannel, name: str) -> None:
    for queue, arguments in ((name, {"x-message-ttl": 30}), (name + "-long", {})):
        channel.queue_declare(queue, arguments=arguments)
        channel.queue_bind(queue, "amq.direct", name)
    channel.basic_publish("amq.direct", name, b"x")
    until(lambda: ready(channel, name) == 0)
    assert drain(channel, name + "-long") == [b"x"]


def _listed(connection: BlockingConnection, queue: str) -> bool:
    """Whether `queue` is still there, asked in a way that is no use of it: by a mandatory message to it."""
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish("", queue, b"probe", mandatory=True)
    except pika.exceptions.UnroutableError:
        return False
    finally:
        channel.close()
    return True
