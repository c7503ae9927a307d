"""Headers exchanges: x-match all, any, all-with-x, any-with-x; how values compare; what is refused.

rabbitmq.com/docs/exchanges (headers), AMQP 0-9-1 section 3.1.3.4.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.support import bound_queue, channel_refused, drain

Table = dict[str, Any]

RULES: list[tuple[Table, Table, bool]] = [
    ({"x-match": "all", "a": 1, "b": 2}, {"a": 1, "b": 2}, True),
    ({"x-match": "all", "a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),
    ({"x-match": "all", "a": 1, "b": 2}, {"a": 1}, False),
    ({"x-match": "all", "a": 1, "b": 2}, {"a": 1, "b": 3}, False),
    ({"a": 1, "b": 2}, {"a": 1}, False),
    ({"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
    ({"x-match": "any", "a": 1, "b": 2}, {"a": 1}, True),
    ({"x-match": "any", "a": 1, "b": 2}, {"b": 2, "a": 7}, True),
    ({"x-match": "any", "a": 1, "b": 2}, {"a": 2, "b": 1}, False),
    ({"x-match": "any", "a": 1}, {}, False),
    ({"x-match": "all"}, {}, True),
    ({"x-match": "all"}, {"a": 1}, True),
    ({"x-match": "any"}, {}, False),
    ({}, {}, True),
    ({"x-match": "all", "x-a": 1, "b": 2}, {"b": 2}, True),
    ({"x-match": "any", "x-a": 1, "b": 2}, {"x-a": 1}, False),
    ({"x-match": "all-with-x", "x-a": 1, "b": 2}, {"b": 2}, False),
    ({"x-match": "all-with-x", "x-a": 1, "b": 2}, {"x-a": 1, "b": 2}, True),
    ({"x-match": "any-with-x", "x-a": 1, "b": 2}, {"x-a": 1}, True),
    ({"x-match": "any-with-x", "x-a": 1, "b": 2}, {"x-a": 2}, False),
    ({"x-match": "all", "a": None}, {"a": "whatever"}, True),
    ({"x-match": "all", "a": None}, {"b": 1}, False),
    ({"x-match": "all", "a": "1"}, {"a": 1}, False),
    ({"x-match": "all", "a": "x"}, {"a": "X"}, False),
    ({"x-match": "all", "A": 1}, {"a": 1}, False),
]


@pytest.mark.parametrize(("binding", "headers", "matches"), RULES, ids=[f"{b}-{h}" for b, h, _ in RULES])
def test_match(channel: BlockingChannel, name: str, binding: Table, headers: Table, matches: bool) -> None:
    channel.exchange_declare(name, "headers")
    queue = bound_queue(channel, name, "ignored", arguments=binding)
    channel.basic_publish(name, "", b"x", pika.BasicProperties(headers=headers))
    assert drain(channel, queue) == ([b"x"] if matches else [])


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "日本",
        b"\x00\xff",
        True,
        False,
        0,
        -1,
        2**31,
        2**40,
        Decimal("3.14"),
        datetime(2024, 5, 1, tzinfo=UTC),
        [1, "a", [True]],
        {"nested": {"n": 1}},
    ],
    ids=repr,
)
def test_values_of_every_type_compare(channel: BlockingChannel, name: str, value: Any) -> None:
    channel.exchange_declare(name, "headers")
    queue = bound_queue(channel, name, "", arguments={"v": value})
    channel.basic_publish(name, "", b"same", pika.BasicProperties(headers={"v": value}))
    channel.basic_publish(name, "", b"other", pika.BasicProperties(headers={"v": "something else"}))
    assert drain(channel, queue) == [b"same"]


def test_a_message_without_headers_matches_an_empty_binding_only(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "headers")
    empty, full = bound_queue(channel, name, ""), bound_queue(channel, name, "", arguments={"a": 1})
    channel.basic_publish(name, "", b"x")
    assert (drain(channel, empty), drain(channel, full)) == ([b"x"], [])


@pytest.mark.parametrize("exchange", ["amq.headers", "amq.match"])
def test_the_built_in_headers_exchanges_route(channel: BlockingChannel, name: str, exchange: str) -> None:
    queue = bound_queue(channel, exchange, "", arguments={"id": name})
    channel.basic_publish(exchange, "", b"x", pika.BasicProperties(headers={"id": name}))
    assert drain(channel, queue) == [b"x"]


def test_an_unknown_x_match_is_refused(channel: BlockingChannel) -> None:
    text = 'PRECONDITION_FAILED - Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x'
    with channel_refused(406, text):
        bound_queue(channel, "amq.headers", "", arguments={"x-match": "foo"})


def test_an_x_match_that_is_no_string_is_refused(channel: BlockingChannel) -> None:
    text = "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"
    with channel_refused(406, text):
        bound_queue(channel, "amq.headers", "", arguments={"x-match": 1})
