"""x-arguments of queues, exchanges and consumers: which values are accepted, which refused, and how that is said.

rabbitmq.com/docs/queues (optional arguments, property equivalence), docs/ttl, docs/maxlength, docs/dlx, docs/priority,
docs/consumers, docs/ae; the reply texts are those of a real RabbitMQ.
"""

from __future__ import annotations

from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.support import channel_refused

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"x-message-ttl": -1}, "x-message-ttl", "{value_negative,-1}"),
    ({"x-expires": 0}, "x-expires", "{value_zero,0}"),
    ({"x-expires": -1}, "x-expires", "{value_negative,-1}"),
    ({"x-max-length": -1}, "x-max-length", "{value_negative,-1}"),
    ({"x-max-length-bytes": -5}, "x-max-length-bytes", "{value_negative,-5}"),
    ({"x-max-priority": 256}, "x-max-priority", "{max_value_exceeded,256}"),
    ({"x-dead-letter-routing-key": "k"}, "x-dead-letter-routing-key", "routing_key_but_no_dlx_defined"),
    ({"x-overflow": "spill"}, "x-overflow", "invalid_overflow"),
    ({"x-message-ttl": "10"}, "x-message-ttl", '"expected integer, got longstr"'),
    ({"x-single-active-consumer": "yes"}, "x-single-active-consumer", "{unacceptable_type,longstr}"),
    ({"x-message-ttl": True}, "x-message-ttl", '"expected integer, got bool"'),
    ({"x-message-ttl": 10**12}, "x-message-ttl", "{value_too_large,1000000000000}"),
    ({"x-expires": 10**15}, "x-expires", "{value_too_large,1000000000000000}"),
    ({"x-max-length": None}, "x-max-length", '"expected integer, got void"'),
    ({"x-overflow": 5}, "x-overflow", "{unacceptable_type,signedint}"),
    ({"x-queue-mode": "foo"}, "x-queue-mode", "\"unsupported queue mode 'foo'\""),
    (
        {"x-dead-letter-exchange": "a", "x-dead-letter-routing-key": 5},
        "x-dead-letter-routing-key",
        "{unacceptable_type,signedint}",
    ),
]

ACCEPTED: list[dict[str, Any]] = [
    {"x-message-ttl": 0},
    {"x-message-ttl": 60_000},
    {"x-expires": 60_000},
    {"x-max-length": 0},
    {"x-max-length-bytes": 0},
    {"x-max-priority": 0},
    {"x-max-priority": 255},
    {"x-overflow": "drop-head"},
    {"x-overflow": "reject-publish"},
    {"x-overflow": "reject-publish-dlx"},
    {"x-dead-letter-exchange": ""},
    {"x-dead-letter-exchange": "nowhere", "x-dead-letter-routing-key": "k"},
    {"x-single-active-consumer": True},
    {"x-queue-mode": "lazy"},
    {"x-queue-type": "classic"},
    {"x-nobody-knows-this": "value"},
    {"no-prefix": [1, {"a": "b"}]},
]


@pytest.mark.parametrize(
    ("arguments", "key", "reason"), REFUSED, ids=[f"{key}={next(iter(a.values()))}" for a, key, _ in REFUSED]
)
def test_a_bad_argument_is_refused(
    channel: BlockingChannel, name: str, arguments: dict[str, Any], key: str, reason: str
) -> None:
    text = f"PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/': {reason}"
    with channel_refused(406, text):
        channel.queue_declare(name, arguments=arguments)


@pytest.mark.parametrize("arguments", ACCEPTED, ids=str)
def test_a_good_or_unknown_argument_is_accepted(channel: BlockingChannel, name: str, arguments: dict[str, Any]) -> None:
    assert channel.queue_declare(name, arguments=arguments).method.queue == name


def test_an_unknown_queue_type_is_refused(channel: BlockingChannel, name: str) -> None:
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue '{name}' in vhost '/': "
        "\"unsupported queue type 'zz'\""
    )
    with channel_refused(406, text):
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": "zz"})


def test_a_quorum_queue_must_be_durable(channel: BlockingChannel, name: str) -> None:
    text = f"PRECONDITION_FAILED - invalid property 'non-durable' for queue '{name}' in vhost '/'"
    with channel_refused(406, text):
        channel.queue_declare(name, arguments={"x-queue-type": "quorum"})


@pytest.mark.parametrize(
    ("first", "second", "received", "current"),
    [
        ({"x-max-length": 1}, {"x-max-length": 2}, "'2'", "'1'"),
        ({"x-max-length": 1}, {}, "none", "the value '1' of type 'signedint'"),
        ({}, {"x-max-length": 1}, "the value '1' of type 'signedint'", "none"),
        ({"x-overflow": "drop-head"}, {"x-overflow": "reject-publish"}, "'reject-publish'", "'drop-head'"),
    ],
)
def test_redeclare_with_another_argument_is_refused(
    channel: BlockingChannel,
    name: str,
    first: dict[str, Any],
    second: dict[str, Any],
    received: str,
    current: str,
) -> None:
    channel.queue_declare(name, arguments=first)
    (key,) = first or second
    text = f"inequivalent arg '{key}' for queue '{name}' in vhost '/': received {received} but current is {current}"
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.queue_declare(name, arguments=second)


CHANGES: dict[str, tuple[Any, Any]] = {
    "x-message-ttl": (1000, 2000),
    "x-expires": (60_000, 70_000),
    "x-max-length": (1, 2),
    "x-max-length-bytes": (1, 2),
    "x-overflow": ("drop-head", "reject-publish-dlx"),
    "x-dead-letter-exchange": ("a", "b"),
    "x-dead-letter-routing-key": ("a", "b"),
    "x-max-priority": (1, 2),
    "x-single-active-consumer": (True, False),
    "x-queue-mode": ("default", "lazy"),
    "x-queue-version": (1, 2),
}


@pytest.mark.parametrize("key", CHANGES)
def test_every_known_argument_has_to_be_the_same_again(channel: BlockingChannel, name: str, key: str) -> None:
    first, second = CHANGES[key]
    others = {"x-dead-letter-exchange": "dlx"} if key == "x-dead-letter-routing-key" else {}
    channel.queue_declare(name, arguments={**others, key: first})
    shown = {True: "true", False: "false"}
    received, current = (shown[value] if isinstance(value, bool) else value for value in (second, first))
    text = f"inequivalent arg '{key}' for queue '{name}' in vhost '/': received '{received}' but current is '{current}'"
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.queue_declare(name, arguments={**others, key: second})


def test_redeclare_with_the_same_arguments_is_ok(channel: BlockingChannel, name: str) -> None:
    arguments = {"x-max-length": 10, "x-message-ttl": 60_000}
    channel.queue_declare(name, arguments=arguments)
    assert channel.queue_declare(name, arguments=dict(reversed(arguments.items()))).method.queue == name


def test_redeclare_may_differ_in_an_unknown_argument(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, arguments={"x-nobody-knows-this": 1})
    assert channel.queue_declare(name, arguments={"x-nobody-knows-this": 2}).method.queue == name


def test_the_priority_of_a_consumer_must_be_an_integer(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    text = f"invalid arg 'x-priority' for queue '{name}' in vhost '/': \"expected integer, got longstr\""
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.basic_consume(name, lambda *_: None, arguments={"x-priority": "high"})


@pytest.mark.parametrize(
    "arguments", [{"x-cancel-on-ha-failover": True}, {"x-nobody-knows-this": [1]}, {"x-priority": -5}], ids=str
)
def test_a_good_or_unknown_argument_of_a_consumer_is_accepted(
    channel: BlockingChannel, name: str, arguments: dict[str, Any]
) -> None:
    channel.queue_declare(name)
    assert channel.basic_consume(name, lambda *_: None, arguments=arguments)


def test_a_dead_letter_exchange_must_be_a_string(channel: BlockingChannel, name: str) -> None:
    text = f"invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue '{name}' in vhost '/'"
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.queue_declare(name, arguments={"x-dead-letter-exchange": 5})


def test_an_alternate_exchange_must_be_a_string(channel: BlockingChannel, name: str) -> None:
    text = f"invalid type 'signedint' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'"
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.exchange_declare(name, "fanout", arguments={"alternate-exchange": 5})


QUORUM_ONLY: list[tuple[str, Any, Any]] = [
    ("x-delivery-limit", 1, 2),
    ("x-dead-letter-strategy", "at-most-once", "at-least-once"),
    ("x-quorum-initial-group-size", 1, 2),
]


@pytest.mark.parametrize(("key", "one", "another"), QUORUM_ONLY, ids=[row[0] for row in QUORUM_ONLY])
def test_every_argument_of_a_quorum_queue_is_compared(
    channel: BlockingChannel, name: str, key: str, one: Any, another: Any
) -> None:
    quorum = {"x-queue-type": "quorum"}
    channel.queue_declare(name, durable=True, arguments={key: one, **quorum})
    text = f"inequivalent arg '{key}' for queue '{name}' in vhost '/': received '{another}' but current is '{one}'"
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        channel.queue_declare(name, durable=True, arguments={key: another, **quorum})
