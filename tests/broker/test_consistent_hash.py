"""The consistent-hash exchange: one destination for each value, shares by weight, and what stays when bindings change."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.consistent_hash import jump
from leveret.broker.exchange import Binding, Destination, Exchange
from leveret.broker.exchange_types import check_arguments, make_exchange
from leveret.broker.router import Headers
from leveret.errors import ChannelError
from leveret.wire.properties import BasicProperties, encode_properties
from leveret.wire.scan import scan

KEYS = [f"key {number}" for number in range(10_000)]


def headers(**given: object) -> Headers:
    header = bytes(12) + encode_properties(BasicProperties(**given))  # type: ignore[arg-type]
    return Headers(header, scan(header))


def exchange(**arguments: object) -> Exchange:
    given = {name.replace("_", "-"): value for name, value in arguments.items()}
    return make_exchange("x", "x-consistent-hash", False, False, False, given)


def bind(source: Exchange, name: str, weight: str) -> Binding:
    binding = Binding(source, Destination("queue", name), weight, {})
    source.check_binding(binding)
    source.bind(binding)
    return binding


def spread(source: Exchange) -> dict[str, str]:
    """Where each of KEYS goes."""
    found = {}
    for key in KEYS:
        (destination,) = source.matches(key, headers())
        found[key] = destination.name
    return found


def test_without_bindings_nothing_matches() -> None:
    assert exchange().matches("k", headers()) == []


def test_shares_are_even() -> None:
    source = exchange()
    for number in range(4):
        bind(source, f"q{number}", "1")
    assert all(2300 < count < 2700 for count in Counter(spread(source).values()).values())


def test_shares_follow_the_weights() -> None:
    source = exchange()
    bind(source, "light", "10")
    bind(source, "heavy", "30")
    assert 7300 < Counter(spread(source).values())["heavy"] < 7700


def test_an_added_binding_takes_its_share_and_moves_nothing_else() -> None:
    source = exchange()
    for number in range(3):
        bind(source, f"q{number}", "10")
    before = spread(source)
    bind(source, "new", "10")
    moved = {key: name for key, name in spread(source).items() if name != before[key]}
    assert set(moved.values()) == {"new"} and 2300 < len(moved) < 2700


def test_the_last_binding_removed_gives_its_share_back() -> None:
    source = exchange()
    for number in range(3):
        bind(source, f"q{number}", "10")
    before = spread(source)
    source.unbind(bind(source, "new", "10").identity)
    assert spread(source) == before


def test_of_two_bindings_of_a_queue_the_older_counts_until_it_goes() -> None:
    source = exchange()
    first = bind(source, "q", "1")
    bind(source, "other", "1")
    bind(source, "q", "1000")
    assert 4700 < Counter(spread(source).values())["q"] < 5300
    source.unbind(first.identity)
    assert Counter(spread(source).values())["q"] > 9900


def test_a_weight_beyond_any_memory_is_only_a_number() -> None:
    source = exchange()
    bind(source, "all", "9" * 200)
    bind(source, "none", "1")
    assert set(spread(source).values()) == {"all"}


@given(st.integers(0, 2**64 - 1), st.integers(1, 10_000))
def test_one_bucket_more_moves_a_number_to_it_or_not_at_all(number: int, buckets: int) -> None:
    assert 0 <= jump(number, buckets) < buckets
    assert jump(number, buckets + 1) in (jump(number, buckets), buckets)


@pytest.mark.parametrize(
    ("arguments", "of"),
    [
        ({"hash_header": "h"}, lambda value: headers(headers={"h": value})),
        ({"hash_property": "message_id"}, lambda value: headers(message_id=value)),
        ({"hash_property": "correlation_id"}, lambda value: headers(correlation_id=value)),
    ],
)
def test_what_is_hashed_instead_of_the_key(arguments: dict[str, object], of) -> None:  # type: ignore[no-untyped-def]
    source = exchange(**arguments)
    for number in range(2):
        bind(source, f"q{number}", "1")
    by_value = {source.matches("same key", of(f"value {number}"))[0].name for number in range(50)}
    by_key = {source.matches(f"key {number}", of("same"))[0].name for number in range(50)}
    without = {source.matches(f"key {number}", headers())[0].name for number in range(50)}
    assert (len(by_value), len(by_key), len(without)) == (2, 1, 1)


@pytest.mark.parametrize("weight", ["a", "", " 1", "1.5", "1e3", "٣"])
def test_a_weight_must_be_an_integer(weight: str) -> None:
    with pytest.raises(ChannelError, match="The binding key must be an integer"):
        bind(exchange(), "q", weight)


@pytest.mark.parametrize("name", ["hash-header", "hash-property"])
def test_what_to_hash_must_be_a_name(name: str) -> None:
    """RabbitMQ answers these with an internal error."""
    text = f"PRECONDITION_FAILED - invalid type 'signedint' for arg '{name}' in exchange 'x' in vhost '/'"
    with pytest.raises(ChannelError) as caught:
        check_arguments("x", "/", "x-consistent-hash", {name: 5})
    assert (caught.value.code, caught.value.text) == (406, text)
