"""The topic trie against a matcher that tries every pattern, and what is left of it when patterns go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.topic import TopicTrie

PATTERN_WORDS = st.sampled_from(["a", "b", "", "*", "#"])
KEY_WORDS = st.sampled_from(["a", "b", "", "*", "#", "c"])
PATTERNS = st.lists(PATTERN_WORDS, max_size=6).map(".".join)
KEYS = st.lists(KEY_WORDS, max_size=7).map(".".join)


def split(text: str) -> list[str]:
    return text.split(".") if text else []


def naive(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(naive(pattern[1:], words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and naive(pattern[1:], words[1:])


def identity(number: int) -> tuple[str, str, str, str]:
    return ("queue", str(number), "", "")


def trie_of(patterns: list[str]) -> TopicTrie:
    trie = TopicTrie()
    for number, pattern in enumerate(patterns):
        trie.insert(pattern, identity(number), pattern)
    return trie


@given(st.lists(PATTERNS, max_size=12), KEYS)
def test_finds_exactly_the_patterns_a_naive_matcher_finds(patterns: list[str], key: str) -> None:
    expected = {pattern for pattern in patterns if naive(split(pattern), split(key))}
    assert set(trie_of(patterns).matches(key)) == expected


@given(st.lists(PATTERNS, max_size=12), st.data())
def test_erased_patterns_are_not_found_and_the_others_still_are(patterns: list[str], data: st.DataObject) -> None:
    trie = trie_of(patterns)
    erased = data.draw(st.sets(st.integers(0, max(0, len(patterns) - 1)), max_size=len(patterns)))
    for number in erased:
        trie.erase(patterns[number], identity(number))
    key = data.draw(KEYS)
    kept = [pattern for number, pattern in enumerate(patterns) if number not in erased]
    assert set(trie.matches(key)) == {pattern for pattern in kept if naive(split(pattern), split(key))}


@given(st.lists(PATTERNS, max_size=12))
def test_nothing_is_left_when_every_pattern_is_erased(patterns: list[str]) -> None:
    trie = trie_of(patterns)
    for number, pattern in enumerate(patterns):
        trie.erase(pattern, identity(number))
    assert not trie._root.children
    assert not trie._root.values


def test_erasing_a_long_pattern_leaves_its_shorter_beginning() -> None:
    trie = trie_of(["a", "a.b.c"])
    trie.erase("a.b.c", identity(1))
    assert trie.matches("a") == ["a"]
    assert trie.matches("a.b.c") == []


# Every row was asked of RabbitMQ.
@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("*", "", False),
        ("#", "", True),
        ("", "", True),
        ("#.#", "", True),
        ("*.#", "", False),
        ("*.*", ".", True),
        ("..", "..", True),
        ("a.*", "a.", True),
        ("a.#", "a", True),
        ("#.#.#.#", "a.b", True),
        # In a routing key, wildcards are words like any other.
        ("a.*", "a.*", True),
        ("a.#", "a.#", True),
        ("#", "#", True),
        ("*", "#", True),
        ("a.b", "a.#", False),
    ],
)
def test_corner_cases_match_as_in_rabbitmq(pattern: str, key: str, expected: bool) -> None:
    assert bool(trie_of([pattern]).matches(key)) == expected


def test_many_hashes_do_not_multiply_the_work() -> None:
    trie = trie_of([".".join(["#", "a"] * 30) + ".b"])
    # Tried one by one, the ways to match would outlast the test's time limit by far.
    assert trie.matches(".".join(["a"] * 120)) == []
