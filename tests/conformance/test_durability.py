"""What survives the broker's end, in good order (SIGTERM) and by a crash (SIGKILL).

One broker per way of ending: everything is set up on it, it ends once and is started again, and each test asks
about one thing of what is there afterwards. Confirmed means on disk, so all messages here are confirmed first.
rabbitmq.com/docs/queues (durability), docs/confirms (when), docs/reliability.
"""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from conformance.support import PERSISTENT, drain, exchange_exists, publish, queue_exists, ready

NUMBERS = [b"%d" % number for number in range(200)]
BIG = bytes(range(256)) * 4096
RICH = pika.BasicProperties(
    delivery_mode=2, message_id="m", headers={"n": 1, "list": ["a", True]}, priority=3, timestamp=1_700_000_000
)
NUMBERED = {level: [number for number in range(60) if number % 6 == level] for level in range(6)}
LIMITS = {"x-max-length": 1000, "x-message-ttl": 600_000, "x-dead-letter-exchange": "lives"}


def _declare(channel: BlockingChannel) -> None:
    for queue in ("order", "mixed", "held", "acked", "purged", "big", "rich", "deleted", "requeued"):
        channel.queue_declare(queue, durable=True)
    channel.queue_declare("with arguments", durable=True, arguments=LIMITS)
    channel.queue_declare("priorities", durable=True, arguments={"x-max-priority": 5})
    channel.queue_declare("auto-delete", durable=True, auto_delete=True)
    channel.queue_declare("exclusive", durable=True, exclusive=True)
    channel.queue_declare("transient")


def _bind(channel: BlockingChannel) -> None:
    channel.exchange_declare("lives", "topic", durable=True)
    channel.exchange_declare("also lives", "headers", durable=True)
    channel.exchange_declare("alternate", "direct", durable=True, arguments={"alternate-exchange": "lives"})
    channel.exchange_declare("dies", "fanout")
    for queue in ("topic", "headers", "builtin", "transient-exchange", "unbound"):
        channel.queue_declare(queue, durable=True)
    channel.queue_bind("topic", "lives", "a.#")
    channel.queue_bind("headers", "also lives", "", {"x-match": "any", "colour": "red"})
    channel.queue_bind("builtin", "amq.direct", "key")
    channel.queue_bind("transient-exchange", "dies", "")
    channel.queue_bind("unbound", "lives", "a.#")
    channel.queue_unbind("unbound", "lives", "a.#")
    channel.exchange_bind("also lives", "lives", "to.headers")


def _fill(channel: BlockingChannel) -> None:
    publish(channel, "order", *NUMBERS, properties=PERSISTENT)
    for number in range(10):
        publish(channel, "mixed", b"%d" % number, properties=PERSISTENT if number % 2 else None)
    for queue in ("held", "acked", "purged", "deleted", "requeued", "exclusive", "auto-delete"):
        publish(channel, queue, b"1", b"2", b"3", properties=PERSISTENT)
    publish(channel, "transient", b"x", properties=PERSISTENT)
    publish(channel, "big", BIG, properties=PERSISTENT)
    publish(channel, "rich", b"x", properties=RICH)
    for level in range(6):
        urgent = pika.BasicProperties(delivery_mode=2, priority=level)
        publish(channel, "priorities", *[b"%d" % number for number in NUMBERED[level]], properties=urgent)
    publish(channel, "priorities", b"transient", properties=pika.BasicProperties(priority=5))


def _use(channel: BlockingChannel) -> None:
    """Hold, acknowledge, give back, purge, delete; the channel and what it holds stay until the broker ends."""
    for _ in range(2):
        channel.basic_get("held")
        channel.basic_get("priorities")
        channel.basic_ack(channel.basic_get("acked")[0].delivery_tag)
    channel.basic_nack(channel.basic_get("requeued")[0].delivery_tag)
    channel.queue_purge("purged")
    channel.queue_delete("deleted")
    ready(channel, "acked")


@pytest.fixture(scope="module", params=["restart", "kill"])
def ending(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def broker(broker_kind: type[Broker], ending: str) -> Iterator[Broker]:
    """Instead of the shared broker: one that has been ended and started again. `channel` and so on reach it."""
    own = broker_kind(management=False)
    try:
        own.start()
        channel = own.connect().channel()
        for prepare in (_declare, _bind, _fill, _use):
            prepare(channel)
        own.keep_declared()
        (own.stop if ending == "restart" else own.kill)()
        own.start()
        yield own
    finally:
        own.remove()


def test_persistent_messages_come_back_in_order(channel: BlockingChannel) -> None:
    assert drain(channel, "order") == NUMBERS


def test_transient_messages_of_a_durable_queue_are_gone(channel: BlockingChannel) -> None:
    assert drain(channel, "mixed") == [b"1", b"3", b"5", b"7", b"9"]


def test_unacknowledged_messages_are_back_at_their_place(channel: BlockingChannel, ending: str) -> None:
    """Marked redelivered, unless the mark was lost in a crash, which may come before it is on disk."""
    got = [channel.basic_get("held") for _ in range(3)]
    assert [body for *_, body in got] == [b"1", b"2", b"3"]
    assert [method.redelivered for method, *_ in got] == [True, True, False] or ending == "kill"


def test_messages_given_back_before_are_at_their_place(channel: BlockingChannel) -> None:
    assert drain(channel, "requeued") == [b"1", b"2", b"3"]


def test_acknowledged_messages_stay_gone(channel: BlockingChannel, ending: str) -> None:
    """An acknowledgement has no confirmation: after a crash it may be lost, and its message come again."""
    left = drain(channel, "acked")
    assert left == [b"3"] or (ending == "kill" and left[-1] == b"3" and left == sorted(left))


def test_purged_messages_stay_gone(channel: BlockingChannel, ending: str) -> None:
    assert drain(channel, "purged") == [] or ending == "kill"


def test_a_deleted_queue_stays_deleted(connection: BlockingConnection) -> None:
    assert not queue_exists(connection, "deleted")


def test_a_large_message_comes_back_whole(channel: BlockingChannel) -> None:
    assert drain(channel, "big") == [BIG]


def test_properties_and_headers_come_back(channel: BlockingChannel) -> None:
    assert channel.basic_get("rich")[1] == RICH


def test_a_transient_queue_is_gone(connection: BlockingConnection) -> None:
    assert not queue_exists(connection, "transient")


def test_an_exclusive_queue_is_gone_even_if_durable(connection: BlockingConnection) -> None:
    assert not queue_exists(connection, "exclusive")


def test_an_auto_delete_queue_that_never_had_a_consumer_is_there(channel: BlockingChannel) -> None:
    assert drain(channel, "auto-delete") == [b"1", b"2", b"3"]


def test_a_queue_keeps_its_arguments(channel: BlockingChannel) -> None:
    again = channel.queue_declare("with arguments", durable=True, arguments=LIMITS)
    assert again.method.queue == "with arguments"


def test_a_durable_exchange_keeps_its_bindings(channel: BlockingChannel) -> None:
    channel.basic_publish("lives", "a.b", b"x")
    assert (drain(channel, "topic"), drain(channel, "unbound")) == ([b"x"], [])


def test_bindings_keep_their_arguments(channel: BlockingChannel) -> None:
    channel.basic_publish("also lives", "", b"red", pika.BasicProperties(headers={"colour": "red"}))
    channel.basic_publish("also lives", "", b"blue", pika.BasicProperties(headers={"colour": "blue"}))
    assert drain(channel, "headers") == [b"red"]


def test_bindings_between_exchanges_are_there(channel: BlockingChannel) -> None:
    channel.basic_publish("lives", "to.headers", b"x", pika.BasicProperties(headers={"colour": "red"}))
    assert drain(channel, "headers") == [b"x"]


def test_bindings_to_built_in_exchanges_are_there(channel: BlockingChannel) -> None:
    channel.basic_publish("amq.direct", "key", b"x")
    assert drain(channel, "builtin") == [b"x"]


def test_an_exchange_keeps_its_arguments(channel: BlockingChannel) -> None:
    channel.basic_publish("alternate", "a.alternate", b"x")
    assert drain(channel, "topic") == [b"x"]


def test_a_transient_exchange_is_gone_and_its_queue_stays(connection: BlockingConnection) -> None:
    assert not exchange_exists(connection, "dies")
    assert queue_exists(connection, "transient-exchange")


def test_new_messages_follow_the_old_ones(channel: BlockingChannel) -> None:
    publish(channel, "with arguments", b"new", properties=PERSISTENT)
    assert drain(channel, "with arguments") == [b"new"]


def test_a_priority_queue_keeps_its_order_and_sorts_new_messages_in(channel: BlockingChannel) -> None:
    """rabbitmq.com/docs/priority; two of the highest were held at the end, and are at their places again."""
    for priority, body in ((3, b"new 3"), (9, b"new 9")):
        publish(channel, "priorities", body, properties=pika.BasicProperties(delivery_mode=2, priority=priority))
    old = {level: [b"%d" % number for number in numbers] for level, numbers in NUMBERED.items()}
    expected = [*old[5], b"new 9", *old[4], *old[3], b"new 3", *old[2], *old[1], *old[0]]
    assert drain(channel, "priorities") == expected
