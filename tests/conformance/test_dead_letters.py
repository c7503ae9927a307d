"""Dead letters: what is rejected, expired or pushed out goes to the queue's dead letter exchange, with reasons.

rabbitmq.com/docs/dlx, docs/maxlength (reject-publish-dlx), docs/ttl.
"""

from __future__ import annotations

from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.support import bound_queue, drain, publish, ready, until

SOON = pika.BasicProperties(expiration="20")


@pytest.fixture
def dead(channel: BlockingChannel, name: str) -> str:
    """`name` dead-letters to this queue, by an exchange of its own, with the key `parked`."""
    channel.exchange_declare(name + "-dlx", "fanout")
    return bound_queue(channel, name + "-dlx", "")


def source(channel: BlockingChannel, name: str, **more: Any) -> None:
    arguments = {"x-dead-letter-exchange": name + "-dlx"}
    arguments.update({key.replace("_", "-"): value for key, value in more.items()})
    channel.queue_declare(name, arguments=arguments)


def one(channel: BlockingChannel, queue: str) -> tuple[Any, pika.BasicProperties, bytes]:
    """The one message of `queue`, waited for."""
    until(lambda: ready(channel, queue) == 1)
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    return method, properties, body


@pytest.mark.parametrize("verb", ["basic_nack", "basic_reject"])
def test_a_rejected_message_is_parked_with_its_history(
    channel: BlockingChannel, name: str, dead: str, verb: str
) -> None:
    source(channel, name)
    publish(channel, name, b"x", properties=pika.BasicProperties(message_id="m", headers={"h": 1}))
    getattr(channel, verb)(channel.basic_get(name)[0].delivery_tag, requeue=False)
    method, properties, body = one(channel, dead)
    assert (body, properties.message_id, properties.headers["h"]) == (b"x", "m", 1)
    assert (method.exchange, method.routing_key) == (name + "-dlx", name)
    death = properties.headers["x-death"][0]
    assert death.pop("time") is not None
    assert death == {
        "count": 1,
        "exchange": "",
        "queue": name,
        "reason": "rejected",
        "routing-keys": [name],
    }
    first = {key: value for key, value in properties.headers.items() if key.startswith("x-first-death")}
    assert first == {
        "x-first-death-exchange": "",
        "x-first-death-queue": name,
        "x-first-death-reason": "rejected",
    }


def test_an_expired_message_is_parked_without_its_expiration(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name)
    publish(channel, name, b"x", properties=SOON)
    _, properties, _ = one(channel, dead)
    death = properties.headers["x-death"][0]
    assert (death["reason"], death["original-expiration"], properties.expiration) == ("expired", "20", None)


def test_a_queues_ttl_parks_all_its_messages_in_order(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name, x_message_ttl=20)
    publish(channel, name, b"1", b"2", b"3")
    until(lambda: ready(channel, dead) == 3)
    assert drain(channel, dead) == [b"1", b"2", b"3"]


def test_a_message_pushed_out_is_parked(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name, x_max_length=1)
    publish(channel, name, b"old", b"new")
    _, properties, body = one(channel, dead)
    assert (body, properties.headers["x-death"][0]["reason"]) == (b"old", "maxlen")
    assert drain(channel, name) == [b"new"]


def test_a_message_refused_by_a_full_queue_is_parked(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name, x_max_length=1, x_overflow="reject-publish-dlx")
    channel.basic_publish("", name, b"kept")
    channel.basic_publish("", name, b"refused")
    _, properties, body = one(channel, dead)
    assert (body, properties.headers["x-death"][0]["reason"]) == (b"refused", "maxlen")
    assert drain(channel, name) == [b"kept"]


def test_the_dead_letter_routing_key_replaces_the_original(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name, x_dead_letter_routing_key="parked")
    headers = {"CC": ["other"]}
    publish(channel, name, b"x", properties=pika.BasicProperties(headers=headers))
    channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
    method, properties, _ = one(channel, dead)
    assert method.routing_key == "parked"
    assert "CC" not in properties.headers
    assert properties.headers["x-death"][0]["routing-keys"] == [name, "other"]


def test_without_a_dead_letter_exchange_the_message_is_gone(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    publish(channel, name, b"x")
    channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
    channel.basic_recover(requeue=True)
    assert drain(channel, name) == []


def test_a_missing_dead_letter_exchange_drops_the_message(channel: BlockingChannel, name: str) -> None:
    source(channel, name)
    publish(channel, name, b"x")
    channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
    assert channel.queue_declare(name, passive=True).method.message_count == 0


def test_deaths_of_the_same_kind_are_counted(channel: BlockingChannel, name: str) -> None:
    """A retry loop: rejected to a waiting queue, expired back; each round adds to the two entries."""
    waiting = name + "-wait"
    to_name = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name, "x-message-ttl": 10}
    to_waiting = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": waiting}
    channel.queue_declare(waiting, arguments=to_name)
    channel.queue_declare(name, arguments=to_waiting)
    publish(channel, name, b"x")
    for _ in range(3):
        until(lambda: ready(channel, name) == 1)
        channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
    _, properties, _ = one(channel, name)
    deaths = [(death["queue"], death["reason"], death["count"]) for death in properties.headers["x-death"]]
    assert deaths == [(waiting, "expired", 3), (name, "rejected", 3)]
    assert properties.headers["x-first-death-queue"] == name


def test_a_cycle_without_a_rejection_ends(channel: BlockingChannel, name: str) -> None:
    """A queue that expires into itself would spin for ever: the message is dropped when it comes by again."""
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name, "x-message-ttl": 10}
    channel.queue_declare(name, arguments=arguments)
    publish(channel, name, b"x")
    until(lambda: ready(channel, name) == 0)
    assert channel.basic_get(name)[0] is None


def test_a_deleted_or_purged_queue_parks_nothing(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name)
    publish(channel, name, b"1")
    channel.queue_purge(name)
    publish(channel, name, b"2")
    channel.queue_delete(name)
    assert drain(channel, dead) == []
