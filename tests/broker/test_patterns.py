"""Patterns over names: as the standard library finds them, but never for long."""

from __future__ import annotations

import re
import re._parser as parser  # type: ignore[import-not-found,unused-ignore]
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.careful import Careful
from leveret.broker.patterns import Pattern, is_tame
from leveret.errors import InvalidSetting

HOSTILE = [
    ("(a+)+$", "a" * 254 + "b"),
    ("^(a|aa)*$", "a" * 254 + "b"),
    (r"^(\w+\.?)*$", "a" * 254 + "!"),
    (".*a.*a.*a.*a.*a.*b$", "a" * 255),
    ("(x*)*y", "x" * 255),
    (r"^(a?){40}a{40}$", "a" * 39),
    ("(a*)*" * 9 + "b", "a" * 255),
    ("(a|aa|aaa|b*)*" * 10 + "c", "a" * 255),
]


@pytest.mark.parametrize(("text", "name"), HOSTILE)
def test_no_name_makes_a_pattern_run_for_long(text: str, name: str) -> None:
    began = thread_time()
    assert not Pattern(text).matches(name)
    assert thread_time() - began < 5


@pytest.mark.parametrize(
    "text", [".*", "^orders\\.", r"^(?!amq\.).*", "^(a|b)-.*$", r"\.dlq$", "^[a-z]+-[0-9]+$", "^$"]
)
def test_what_people_write_is_left_to_the_standard_library(text: str) -> None:
    assert is_tame(parser.parse(text))


@pytest.mark.parametrize("text", ["(", "*", "[a", r"(a)\1(b+)+", "a" * 5_000])
def test_a_pattern_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="pattern should be regular expression but is invalid"):
        Pattern(text)


REPEATS_MAX = 21


def repeats(count: int) -> str:
    return "(a*)*" * count + "b"


def test_a_pattern_is_refused_that_asks_for_more_work_than_is_allowed() -> None:
    assert not Pattern(repeats(REPEATS_MAX)).matches("a")
    for count in (REPEATS_MAX + 1, 100, 800):
        with pytest.raises(InvalidSetting, match="it could take long on some names"):
            Pattern(repeats(count))


atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", "^", "$", r"\b", r"\."])
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
        inner.map(lambda one: f"(?={one})"),
        inner.map(lambda one: f"(?!{one})"),
    ),
    max_leaves=6,
)


@given(expressions, st.text("ab.", max_size=8))
def test_the_careful_matcher_agrees_with_the_standard_library(text: str, name: str) -> None:
    assert (Careful(parser.parse(text)).search(name) is not None) == (re.search(text, name) is not None)
