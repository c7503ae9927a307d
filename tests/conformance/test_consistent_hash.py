"""The consistent-hash exchange, as RabbitMQ's plugin rabbitmq_consistent_hash_exchange has it (its README and replies).

rabbitmq.com/docs/plugins lists it.
"""

from __future__ import annotations

from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.support import bound_queue, channel_refused, ready

KIND = "x-consistent-hash"
MESSAGES = 400


def _counts(channel: BlockingChannel, queues: list[str]) -> list[int]:
    return [ready(channel, queue) for queue in queues]


def _hashed(channel: BlockingChannel, name: str, *weights: str, arguments: dict[str, Any] | None = None) -> list[str]:
    channel.exchange_declare(name, KIND, arguments=arguments)
    return [bound_queue(channel, name, weight) for weight in weights]


def test_every_message_goes_to_one_queue_and_the_shares_are_even(channel: BlockingChannel, name: str) -> None:
    queues = _hashed(channel, name, *["20"] * 4)
    for number in range(MESSAGES):
        channel.basic_publish(name, f"key {number}", b"x")
    counts = _counts(channel, queues)
    assert sum(counts) == MESSAGES and min(counts) > MESSAGES / 4 * 0.5


def test_a_heavier_binding_gets_more(channel: BlockingChannel, name: str) -> None:
    queues = _hashed(channel, name, "10", "90")
    for number in range(MESSAGES):
        channel.basic_publish(name, f"key {number}", b"x")
    light, heavy = _counts(channel, queues)
    assert light + heavy == MESSAGES and heavy > 3 * light > 0


def test_one_key_goes_always_to_the_same_queue(channel: BlockingChannel, name: str) -> None:
    queues = _hashed(channel, name, *["10"] * 3)
    for _ in range(30):
        channel.basic_publish(name, "one key", b"x")
    assert sorted(_counts(channel, queues)) == [0, 0, 30]


def test_a_new_binding_moves_keys_to_itself_only(channel: BlockingChannel, name: str) -> None:
    queues = _hashed(channel, name, *["10"] * 3)
    keys = [f"key {number}" for number in range(200)]
    for key in keys:
        channel.basic_publish(name, key, key.encode())
    before = {queue: _drained(channel, queue) for queue in queues}
    bound_queue(channel, name, "10")
    for key in keys:
        channel.basic_publish(name, key, key.encode())
    for queue in queues:
        assert _drained(channel, queue) <= before[queue]


def _drained(channel: BlockingChannel, queue: str) -> set[bytes]:
    count = ready(channel, queue)
    return {channel.basic_get(queue, auto_ack=True)[2] for _ in range(count)}


def test_only_the_first_binding_of_a_queue_counts(channel: BlockingChannel, name: str) -> None:
    queues = _hashed(channel, name, "1", "1")
    channel.queue_bind(queues[0], name, "30")
    for number in range(MESSAGES):
        channel.basic_publish(name, f"key {number}", b"x")
    assert min(_counts(channel, queues)) > MESSAGES / 4


def test_the_header_that_is_named_is_hashed(channel: BlockingChannel, name: str) -> None:
    queues = _hashed(channel, name, "10", "10", arguments={"hash-header": "user"})
    for number in range(40):
        channel.basic_publish(name, f"key {number}", b"x", pika.BasicProperties(headers={"user": "same"}))
    assert sorted(_counts(channel, queues)) == [0, 40]
    for number in range(100):
        channel.basic_publish(name, "k", b"x", pika.BasicProperties(headers={"user": f"user {number}"}))
    assert min(_counts(channel, queues)) > 10


@pytest.mark.parametrize("which", ["message_id", "correlation_id", "timestamp"])
def test_the_property_that_is_named_is_hashed(channel: BlockingChannel, name: str, which: str) -> None:
    queues = _hashed(channel, name, "10", "10", arguments={"hash-property": which})
    for number in range(100):
        value: Any = number if which == "timestamp" else f"id {number}"
        channel.basic_publish(name, "k", b"x", pika.BasicProperties(**{which: value}))
    assert min(_counts(channel, queues)) > 10


@pytest.mark.parametrize("arguments", [{"hash-header": "h"}, {"hash-property": "message_id"}])
def test_messages_without_it_go_all_the_same_way(
    channel: BlockingChannel, name: str, arguments: dict[str, Any]
) -> None:
    queues = _hashed(channel, name, "10", "10", arguments=arguments)
    for number in range(30):
        channel.basic_publish(name, f"key {number}", b"x")
    assert sorted(_counts(channel, queues)) == [0, 30]


def test_copies_go_the_way_of_the_first_key(channel: BlockingChannel, name: str) -> None:
    queues = _hashed(channel, name, "10", "10")
    copies = pika.BasicProperties(headers={"CC": [f"key {number}" for number in range(20)]})
    channel.basic_publish(name, "k", b"x", copies)
    assert sorted(_counts(channel, queues)) == [0, 1]


def test_it_shares_out_to_exchanges_too(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, KIND)
    queues = []
    for side in ("-left", "-right"):
        channel.exchange_declare(name + side, "fanout")
        channel.exchange_bind(name + side, name, "10")
        queues.append(bound_queue(channel, name + side, ""))
    for number in range(100):
        channel.basic_publish(name, f"key {number}", b"x")
    counts = _counts(channel, queues)
    assert sum(counts) == 100 and min(counts) > 10


def test_a_queue_that_goes_leaves_its_share_to_the_others(connection: BlockingConnection, name: str) -> None:
    channel = connection.channel()
    queues = _hashed(channel, name, "10", "10")
    channel.queue_delete(queues[0])
    for number in range(50):
        channel.basic_publish(name, f"key {number}", b"x")
    assert ready(channel, queues[1]) == 50


def test_weights_that_are_no_integer(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, KIND)
    with channel_refused(406, 'PRECONDITION_FAILED - The binding key must be an integer: <<"a">>'):
        bound_queue(channel, name, "a")


def test_an_empty_weight(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, KIND)
    with channel_refused(406, "PRECONDITION_FAILED - The binding key must be an integer: <<>>"):
        bound_queue(channel, name, "")


@pytest.mark.parametrize("weight", ["0", "-1"])
def test_weights_below_one(channel: BlockingChannel, name: str, weight: str) -> None:
    channel.exchange_declare(name, KIND)
    with channel_refused(406, "PRECONDITION_FAILED - The binding key must be greater than 0"):
        bound_queue(channel, name, weight)


def test_header_and_property_exclude_each_other(channel: BlockingChannel, name: str) -> None:
    text = "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive"
    with channel_refused(406, text):
        channel.exchange_declare(name, KIND, arguments={"hash-header": "h", "hash-property": "message_id"})


def test_not_every_property_can_be_hashed(channel: BlockingChannel, name: str) -> None:
    with channel_refused(406, "PRECONDITION_FAILED - Unsupported property: app_id"):
        channel.exchange_declare(name, KIND, arguments={"hash-property": "app_id"})
