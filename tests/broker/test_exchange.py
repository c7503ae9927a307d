"""Exchanges: who gets a message, each once, through every type, bindings between exchanges, and alternates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.exchange import Binding, Destination, Exchange, route
from leveret.broker.exchange_types import make_exchange
from leveret.broker.router import Headers
from leveret.errors import ChannelError
from leveret.wire.properties import BasicProperties, encode_properties
from leveret.wire.scan import scan

Table = dict[str, object]
TYPES = ("direct", "fanout", "topic", "headers")


def headers_of(table: Table | None = None) -> Headers:
    header = bytes(12) + encode_properties(BasicProperties(headers=table))
    return Headers(header, scan(header))


class House:
    """A few queues and exchanges, as a virtual host keeps them."""

    def __init__(self) -> None:
        self.queues: dict[str, Destination] = {name: Destination("queue", name) for name in ("q1", "q2", "q3")}
        self.exchanges: dict[str, Exchange] = {}
        self.exchange("", "direct")

    def exchange(self, name: str, kind: str, **arguments: object) -> Exchange:
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.exchanges[name] = make_exchange(name, kind, False, False, False, given)
        return self.exchanges[name]

    def binding(self, source: str, destination: str, key: str = "", arguments: Table | None = None) -> Binding:
        target = self.queues.get(destination) or self.exchanges[destination]
        return Binding(self.exchanges[source], target, key, arguments or {})

    def bind(self, source: str, destination: str, key: str = "", arguments: Table | None = None) -> bool:
        return self.exchanges[source].bind(self.binding(source, destination, key, arguments))

    def unbind(self, source: str, destination: str, key: str = "", arguments: Table | None = None) -> Binding | None:
        return self.exchanges[source].unbind(self.binding(source, destination, key, arguments).identity)

    def route(self, exchange: str, key: str = "", headers: Table | None = None) -> list[str]:
        found = route(self.exchanges[exchange], [key], headers_of(headers), self.queues, self.exchanges)
        return sorted(queue.name for queue in found)


@pytest.fixture
def house() -> House:
    return House()


def test_the_default_exchange_leads_to_the_queue_of_that_name(house: House) -> None:
    assert house.route("", "q1") == ["q1"]
    assert house.route("", "nope") == []


def test_a_direct_exchange_compares_whole_keys(house: House) -> None:
    house.exchange("x", "direct")
    house.bind("x", "q1", "a")
    house.bind("x", "q2", "a")
    house.bind("x", "q3", "a.b")
    assert house.route("x", "a") == ["q1", "q2"]
    assert house.route("x", "A") == []


def test_a_fanout_exchange_ignores_keys(house: House) -> None:
    house.exchange("x", "fanout")
    house.bind("x", "q1", "a")
    house.bind("x", "q2", "b")
    assert house.route("x", "c") == ["q1", "q2"]


def test_a_topic_exchange_matches_patterns(house: House) -> None:
    house.exchange("x", "topic")
    house.bind("x", "q1", "a.*")
    house.bind("x", "q2", "a.#")
    assert house.route("x", "a.b") == ["q1", "q2"]
    assert house.route("x", "a") == ["q2"]


def test_a_headers_exchange_looks_at_headers_and_not_at_the_key(house: House) -> None:
    house.exchange("x", "headers")
    house.bind("x", "q1", "k", {"a": 1})
    house.bind("x", "q2", "k", {"x-match": "any", "a": 2, "b": 2})
    assert house.route("x", "k", {"a": 1}) == ["q1"]
    assert house.route("x", "other", {"b": 2}) == ["q2"]
    assert house.route("x", "k") == []


@pytest.mark.parametrize("kind", TYPES)
def test_a_queue_bound_several_times_gets_a_message_once(house: House, kind: str) -> None:
    house.exchange("x", kind)
    house.bind("x", "q1", "a", {"n": None})
    house.bind("x", "q1", "a", {"x-other": 1})
    house.bind("x", "q1", "#")
    house.bind("x", "q1", "*")
    assert house.route("x", "a", {"n": 1}) == ["q1"]


@pytest.mark.parametrize("kind", TYPES)
def test_binding_again_changes_nothing(house: House, kind: str) -> None:
    house.exchange("x", kind)
    assert house.bind("x", "q1", "a", {"n": 1, "m": 2})
    assert not house.bind("x", "q1", "a", {"m": 2, "n": 1})
    assert house.unbind("x", "q1", "a", {"n": 1, "m": 2}) is not None
    assert house.route("x", "a", {"n": 1, "m": 2}) == []


@pytest.mark.parametrize("kind", TYPES)
def test_a_queue_stays_until_its_last_binding_goes(house: House, kind: str) -> None:
    house.exchange("x", kind)
    house.bind("x", "q1", "a")
    house.bind("x", "q1", "a", {"x-other": 1})
    house.unbind("x", "q1", "a")
    assert house.route("x", "a") == ["q1"]
    house.unbind("x", "q1", "a", {"x-other": 1})
    assert house.route("x", "a") == []
    assert house.exchanges["x"].bindings == {}


def test_arguments_of_different_kind_make_different_bindings(house: House) -> None:
    house.exchange("x", "headers")
    assert house.bind("x", "q1", "", {"a": 1})
    assert house.bind("x", "q1", "", {"a": True})
    assert house.bind("x", "q1", "", {"a": "1"})


def test_a_queue_and_an_exchange_of_one_name_are_two_destinations(house: House) -> None:
    house.exchange("q1", "fanout")
    house.exchange("x", "fanout")
    source = house.exchanges["x"]
    assert source.bind(Binding(source, house.queues["q1"], "", {}))
    assert source.bind(Binding(source, house.exchanges["q1"], "", {}))


def test_unbinding_what_is_not_bound_returns_none(house: House) -> None:
    house.exchange("x", "direct")
    assert house.unbind("x", "q1", "a") is None


def test_unbind_returns_the_binding_that_was_made(house: House) -> None:
    house.exchange("x", "direct")
    made = house.binding("x", "q1", "a")
    house.exchanges["x"].bind(made)
    assert house.unbind("x", "q1", "a") is made


def test_exchanges_bound_to_exchanges_pass_on_what_matches(house: House) -> None:
    house.exchange("outer", "topic")
    house.exchange("inner", "direct")
    house.bind("outer", "inner", "a.#")
    house.bind("inner", "q1", "a.b")
    house.bind("outer", "q2", "#")
    assert house.route("outer", "a.b") == ["q1", "q2"]
    assert house.route("outer", "a.c") == ["q2"]


def test_a_queue_reached_on_two_ways_gets_a_message_once(house: House) -> None:
    for name in ("x", "left", "right"):
        house.exchange(name, "fanout")
    house.bind("x", "left")
    house.bind("x", "right")
    house.bind("left", "q1")
    house.bind("right", "q1")
    assert house.route("x") == ["q1"]


def test_cycles_of_exchanges_end(house: House) -> None:
    for name in ("x", "y"):
        house.exchange(name, "fanout")
    house.bind("x", "y")
    house.bind("y", "x")
    house.bind("x", "x")
    house.bind("y", "q1")
    assert house.route("x") == ["q1"]


def test_an_alternate_takes_what_matches_nothing(house: House) -> None:
    house.exchange("x", "direct", alternate_exchange="rest")
    house.exchange("rest", "fanout")
    house.bind("x", "q1", "a")
    house.bind("rest", "q2")
    assert house.route("x", "a") == ["q1"]
    assert house.route("x", "b") == ["q2"]


def test_alternates_form_chains(house: House) -> None:
    house.exchange("x", "direct", alternate_exchange="y")
    house.exchange("y", "direct", alternate_exchange="z")
    house.exchange("z", "fanout")
    house.bind("z", "q1")
    assert house.route("x", "a") == ["q1"]


def test_cycles_of_alternates_end(house: House) -> None:
    house.exchange("x", "direct", alternate_exchange="y")
    house.exchange("y", "direct", alternate_exchange="x")
    assert house.route("x", "a") == []


def test_an_alternate_that_does_not_exist_takes_nothing(house: House) -> None:
    house.exchange("x", "direct", alternate_exchange="nope")
    assert house.route("x", "a") == []


def test_an_exchange_that_passes_on_has_matched_even_if_the_message_ends_there(house: House) -> None:
    house.exchange("x", "fanout", alternate_exchange="rest")
    house.exchange("dead end", "fanout")
    house.exchange("rest", "fanout")
    house.bind("x", "dead end")
    house.bind("rest", "q1")
    assert house.route("x") == []


def test_each_exchange_on_the_way_has_its_own_alternate(house: House) -> None:
    house.exchange("x", "fanout")
    house.exchange("inner", "direct", alternate_exchange="rest")
    house.exchange("rest", "fanout")
    house.bind("x", "inner")
    house.bind("rest", "q1")
    assert house.route("x", "a") == ["q1"]


def test_headers_are_decoded_only_if_a_headers_exchange_is_on_the_way(house: House) -> None:
    house.exchange("x", "fanout")
    house.exchange("h", "headers")
    untouched, read = headers_of({"a": 1}), headers_of({"a": 1})
    route(house.exchanges["x"], [""], untouched, house.queues, house.exchanges)
    house.bind("x", "h")
    route(house.exchanges["x"], [""], read, house.queues, house.exchanges)
    assert (untouched.used, read.used) == (False, True)


def test_only_headers_exchanges_refuse_a_senseless_x_match(house: House) -> None:
    house.exchange("x", "direct")
    house.exchange("h", "headers")
    senseless: Table = {"x-match": "foo"}
    house.exchanges["x"].check_binding(house.binding("x", "q1", "", senseless))
    with pytest.raises(ChannelError, match="Invalid x-match field value"):
        house.exchanges["h"].check_binding(house.binding("h", "q1", "", senseless))


KEYS = st.sampled_from(["", "a", "a.b", "#", "*", "a.*"])
BINDINGS = st.lists(st.tuples(st.sampled_from(["q1", "q2", "q3"]), KEYS), max_size=10)


@pytest.mark.parametrize("kind", TYPES)
@given(BINDINGS, BINDINGS, KEYS)
def test_after_unbinding_an_exchange_is_as_if_never_bound(
    kind: str, kept: list[tuple[str, str]], gone: list[tuple[str, str]], key: str
) -> None:
    bound, fresh = House(), House()
    bound.exchange("x", kind)
    fresh.exchange("x", kind)
    for queue, binding_key in kept + gone:
        bound.bind("x", queue, binding_key)
    for queue, binding_key in gone:
        bound.unbind("x", queue, binding_key)
    for queue, binding_key in kept:
        if (queue, binding_key) not in gone:
            fresh.bind("x", queue, binding_key)
    assert bound.route("x", key) == fresh.route("x", key)
