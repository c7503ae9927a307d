"""Topic exchanges: `*` stands for exactly one word, `#` for any number; words are what dots separate.

rabbitmq.com/docs/exchanges (topic) and tutorial five; AMQP 0-9-1 section 3.1.3.3.
"""

from __future__ import annotations

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from conformance.support import bound_queue, drain

KEYS = ["", ".", "a", "a.b", "a.b.c", "b", "a..b", "a.", ".a", "b.a", "lazy.orange.male.rabbit", "A", "a.a.a"]

# What each pattern matches of KEYS.
PATTERNS: list[tuple[str, set[str]]] = [
    ("", {""}),
    ("a", {"a"}),
    ("a.b", {"a.b"}),
    ("*", {"a", "b", "A"}),
    ("#", set(KEYS)),
    ("*.*", {".", "a.b", "a.", ".a", "b.a"}),
    ("a.*", {"a.b", "a."}),
    ("*.a", {".a", "b.a"}),
    ("a.#", {"a", "a.b", "a.b.c", "a..b", "a.", "a.a.a"}),
    ("#.a", {"a", ".a", "b.a", "a.a.a"}),
    ("a.#.b", {"a.b", "a..b"}),
    ("a.*.b", {"a..b"}),
    ("*.#", set(KEYS) - {""}),
    ("#.*", set(KEYS) - {""}),
    ("#.#", set(KEYS)),
    ("*.#.*", {".", "a.b", "a.b.c", "a..b", "a.", ".a", "b.a", "lazy.orange.male.rabbit", "a.a.a"}),
    ("a..b", {"a..b"}),
    ("a.", {"a."}),
    ("#.b.#", {"a.b", "a.b.c", "b", "a..b", "b.a"}),
    ("lazy.#", {"lazy.orange.male.rabbit"}),
    ("*.orange.*", set()),
    ("*.orange.*.*", {"lazy.orange.male.rabbit"}),
    ("a*", set()),
    ("a#", set()),
]


@pytest.mark.parametrize(("pattern", "matching"), PATTERNS, ids=[repr(pattern) for pattern, _ in PATTERNS])
def test_pattern(channel: BlockingChannel, name: str, pattern: str, matching: set[str]) -> None:
    channel.exchange_declare(name, "topic")
    queue = bound_queue(channel, name, pattern)
    for key in KEYS:
        channel.basic_publish(name, key, key.encode())
    assert drain(channel, queue) == [key.encode() for key in KEYS if key in matching]


def test_all_patterns_at_once_match_as_each_alone(channel: BlockingChannel, name: str) -> None:
    """One exchange with every pattern: what they share in the broker's tables leaves the answers alone."""
    channel.exchange_declare(name, "topic")
    queues = [(bound_queue(channel, name, pattern), pattern, matching) for pattern, matching in PATTERNS]
    for key in KEYS:
        channel.basic_publish(name, key, key.encode())
    for queue, pattern, matching in queues:
        assert drain(channel, queue) == [key.encode() for key in KEYS if key in matching], pattern


def test_removing_one_pattern_leaves_its_neighbours(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "topic")
    queue = bound_queue(channel, name, "a.*.c", "a.#", "a.b.c")
    other = bound_queue(channel, name, "a.*.c")
    channel.queue_unbind(queue, name, "a.#")
    channel.queue_unbind(queue, name, "a.b.c")
    for key in ("a.b.c", "a.b"):
        channel.basic_publish(name, key, key.encode())
    assert (drain(channel, queue), drain(channel, other)) == ([b"a.b.c"], [b"a.b.c"])
    channel.queue_unbind(queue, name, "a.*.c")
    channel.basic_publish(name, "a.b.c", b"again")
    assert (drain(channel, queue), drain(channel, other)) == ([], [b"again"])
