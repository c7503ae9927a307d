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


def reject_all(channel: BlockingChannel, queue: str) -> None:
    while (method := channel.basic_get(queue)[0]) is not None:
        channel.basic_reject(method.delivery_tag, requeue=False)


def test_hidden_copies_lead_on_and_stay_hidden(channel: BlockingChannel, name: str) -> None:
    """Sender-selected distribution: BCC keys are removed from the message, and it is still dead-lettered with them."""
    channel.exchange_declare(name + "-dlx", "direct")
    shown, hidden = (bound_queue(channel, name + "-dlx", key) for key in (name + "-cc", name + "-bcc"))
    source(channel, name)
    headers = {"CC": [name + "-cc"], "BCC": [name + "-bcc"]}
    publish(channel, name, b"x", properties=pika.BasicProperties(headers=headers))
    reject_all(channel, name)
    _, properties, _ = one(channel, hidden)
    assert properties.headers["x-death"][0]["routing-keys"] == [name, name + "-cc"]
    assert (properties.headers["CC"], "BCC" in properties.headers) == ([name + "-cc"], False)
    one(channel, shown)


def test_with_a_key_for_dead_letters_copies_lead_nowhere(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name + "-dlx", "direct")
    parked, copied = (bound_queue(channel, name + "-dlx", key) for key in ("parked", name + "-cc"))
    source(channel, name, x_dead_letter_routing_key="parked")
    publish(channel, name, b"x", properties=pika.BasicProperties(headers={"CC": [name + "-cc"]}))
    reject_all(channel, name)
    one(channel, parked)
    assert ready(channel, copied) == 0


def test_a_topic_exchange_sorts_dead_letters_and_passes_the_rest_to_its_alternate(
    channel: BlockingChannel, name: str
) -> None:
    channel.exchange_declare(name + "-rest", "fanout")
    channel.exchange_declare(name + "-dlx", "topic", arguments={"alternate-exchange": name + "-rest"})
    rest = bound_queue(channel, name + "-rest", "")
    sorted_out = bound_queue(channel, name + "-dlx", "*.sorted")
    source(channel, name)
    channel.queue_bind(name, "amq.topic", name + ".#")
    channel.basic_publish("amq.topic", name + ".sorted", b"1")
    channel.basic_publish("amq.topic", name + ".other.key", b"2")
    until(lambda: ready(channel, name) == 2)
    reject_all(channel, name)
    method, properties, body = one(channel, sorted_out)
    assert (body, method.routing_key) == (b"1", name + ".sorted")
    assert properties.headers["x-death"][0]["exchange"] == "amq.topic"
    assert one(channel, rest)[2] == b"2"


def test_a_chain_is_told_newest_first(channel: BlockingChannel, name: str, dead: str) -> None:
    middle = name + "-middle"
    channel.queue_declare(name, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": middle})
    channel.queue_declare(middle, arguments={"x-dead-letter-exchange": name + "-dlx", "x-message-ttl": 10})
    publish(channel, name, b"x", properties=pika.BasicProperties(priority=3, delivery_mode=2, type="t"))
    reject_all(channel, name)
    _, properties, _ = one(channel, dead)
    deaths = [(death["queue"], death["reason"], death["exchange"]) for death in properties.headers["x-death"]]
    assert deaths == [(middle, "expired", ""), (name, "rejected", "")]
    assert (properties.headers["x-first-death-queue"], properties.headers["x-first-death-reason"]) == (name, "rejected")
    assert (properties.priority, properties.delivery_mode, properties.type) == (3, 2, "t")


@pytest.mark.not_on_rabbitmq("3.10 has no x-last-death-*, RabbitMQ has it from 3.13 on")
def test_the_last_death_is_told_too(channel: BlockingChannel, name: str, dead: str) -> None:
    middle = name + "-middle"
    channel.queue_declare(name, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": middle})
    channel.queue_declare(middle, arguments={"x-dead-letter-exchange": name + "-dlx", "x-message-ttl": 10})
    publish(channel, name, b"x")
    reject_all(channel, name)
    headers = one(channel, dead)[1].headers
    last = {key: value for key, value in headers.items() if key.startswith("x-last-death")}
    assert last == {"x-last-death-exchange": "", "x-last-death-queue": middle, "x-last-death-reason": "expired"}


def test_a_queue_may_be_its_own_dead_letter_queue(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name})
    publish(channel, name, b"x")
    for _ in range(2):
        until(lambda: ready(channel, name) == 1)
        channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
    method, properties, _ = one(channel, name)
    (death,) = properties.headers["x-death"]
    assert (death["reason"], death["count"], method.redelivered) == ("rejected", 2, False)


@pytest.mark.not_on_rabbitmq("3.10 goes on counting in it; from 4.0 on x-death of a client is a header like any other")
def test_a_history_that_comes_from_a_client_does_not_count(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name)
    death = {"queue": name, "reason": "rejected", "count": 7, "exchange": "", "routing-keys": [name]}
    publish(channel, name, b"x", properties=pika.BasicProperties(headers={"x-death": [death]}))
    reject_all(channel, name)
    headers = one(channel, dead)[1].headers
    assert [death["count"] for death in headers["x-death"]] == [1]


def test_every_bound_queue_gets_its_copy(channel: BlockingChannel, name: str, dead: str) -> None:
    other = bound_queue(channel, name + "-dlx", "")
    source(channel, name)
    publish(channel, name, b"x")
    reject_all(channel, name)
    assert one(channel, dead)[2] == one(channel, other)[2] == b"x"


def test_requeued_messages_are_no_dead_letters(channel: BlockingChannel, name: str, dead: str) -> None:
    source(channel, name)
    publish(channel, name, b"x")
    channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=True)
    assert (ready(channel, name), ready(channel, dead)) == (1, 0)
