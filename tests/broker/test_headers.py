"""Headers matching: a table of cases, each asked of RabbitMQ, and the refusals of a senseless x-match."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.headers import HeaderMatch, check_match, same
from leveret.errors import ChannelError

Table = dict[str, object]
NEW_YEAR = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "headers", "expected"),
    [
        ({}, {}, True),
        ({}, {"a": 1}, True),
        ({"x-match": "all"}, {"a": 1}, True),
        ({"x-match": "any"}, {"a": 1}, False),
        ({"x-match": "any"}, {}, False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": 1}, {}, False),
        ({"a": "x"}, {"A": "x"}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 3}, False),
        ({"x-match": "any", "a": None, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"a": 1, "b": 3}, True),
    ],
)
def test_all_wants_every_field_and_any_wants_one(arguments: Table, headers: Table, expected: bool) -> None:
    assert HeaderMatch(arguments).matches(headers) is expected


@pytest.mark.parametrize(
    ("arguments", "headers", "expected"),
    [
        ({"x-a": 1}, {}, True),
        ({"x-": 1}, {}, True),
        ({"x-match": "any", "x-a": 1}, {"x-a": 1}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {"x-a": 1}, True),
        ({"x-match": "any-with-x", "x-a": 1}, {"x-a": 1}, True),
        ({"x-match": "any-with-x", "x-a": 1}, {"x-a": 2}, False),
        ({"x-match": "any-with-x"}, {"x-match": "any-with-x"}, False),
    ],
)
def test_fields_that_begin_with_x_count_only_with_x(arguments: Table, headers: Table, expected: bool) -> None:
    assert HeaderMatch(arguments).matches(headers) is expected


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        (None, 5, True),
        (None, None, True),
        (5, None, False),
        (1, 2**40, False),
        (1, 1.0, False),
        (1.5, 1.5, True),
        (1, True, False),
        (True, True, True),
        (True, 1, False),
        ("true", True, False),
        ("", "", True),
        ("b", b"b", True),
        (b"b", "b", True),
        (b"\xff", b"\xff", True),
        ("1", 1, False),
        (Decimal("1.5"), Decimal("1.5"), True),
        (NEW_YEAR, NEW_YEAR, True),
        ([1, "b"], [1, "b"], True),
        ([1], [2], False),
        ([1], [True], False),
        ([1], [1, 2], False),
        ([[1]], [[True]], False),
        ({"k": 1}, {"k": 1}, True),
        ({"k": 1}, {"k": True}, False),
        ({"k": 1}, {"l": 1}, False),
        ({"k": 1}, [1], False),
    ],
)
def test_values_are_equal_in_value_and_in_kind(wanted: object, given: object, expected: bool) -> None:
    assert HeaderMatch({"a": wanted}).matches({"a": given}) is expected


def test_a_field_without_value_asks_for_the_header_to_be_there() -> None:
    assert not HeaderMatch({"a": None}).matches({"b": 1})


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3) | st.decimals(0, 9)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)


@given(VALUES)
def test_every_value_equals_itself(value: object) -> None:
    assert same(value, value)


@given(VALUES, VALUES)
def test_equality_goes_both_ways(one: object, other: object) -> None:
    assert same(one, other) == same(other, one)


@pytest.mark.parametrize("kind", ["all", "any", "all-with-x", "any-with-x"])
def test_the_four_kinds_of_match_are_accepted(kind: str) -> None:
    check_match({"x-match": kind})


def test_x_match_may_be_left_out() -> None:
    check_match({"a": 1})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("foo", 'Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        ('a"b', 'Invalid x-match field value <<"a\\"b">>; expected all, any, all-with-x, or any-with-x'),
        (1, "Invalid x-match field type signedint (value 1); expected longstr"),
        (True, "Invalid x-match field type bool (value true); expected longstr"),
        (None, "Invalid x-match field type void (value undefined); expected longstr"),
        (["a"], 'Invalid x-match field type array (value [{longstr,<<"a">>}]); expected longstr'),
        ({"a": 1}, 'Invalid x-match field type table (value [{<<"a">>,signedint,1}]); expected longstr'),
    ],
)
def test_another_x_match_is_refused_in_rabbitmqs_words(value: object, text: str) -> None:
    with pytest.raises(ChannelError) as refused:
        check_match({"x-match": value})
    assert (refused.value.code, refused.value.text) == (406, f"PRECONDITION_FAILED - {text}")
