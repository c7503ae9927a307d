"""Regular expressions over the names of queues, exchanges and topics, as permissions and policies use them.

Users with few rights choose the names, so a pattern must not be able to run for long on any of them: names have at most
255 bytes, and a pattern whose search could take more than a name's length to the third power is matched by
broker/careful instead of the standard library. Called by broker/permissions and broker/policies.
"""

from __future__ import annotations

import re
import re._constants as sre
import re._parser as parser
from functools import lru_cache
from typing import Any, Final

from leveret.broker.careful import Careful
from leveret.errors import InvalidSetting

PATTERN_BYTES_MAX: Final = 4_096
DEGREE_MAX: Final = 3
FEW: Final = 8
"""A repeat of at most this many more than its least counts as none."""


class Pattern:
    """`text` as RabbitMQ reads it: it matches if it is found anywhere in the name. InvalidSetting if it is none."""

    def __init__(self, text: str) -> None:
        self.text: Final = text
        try:
            if len(text) > PATTERN_BYTES_MAX:
                raise re.error(f"longer than {PATTERN_BYTES_MAX} characters")
            tree = parser.parse(text)
            self._search = re.compile(text).search if is_tame(tree) else Careful(tree).search
        except (re.error, RecursionError, OverflowError) as error:
            raise InvalidSetting(f"pattern should be regular expression but is invalid: {error}") from None

    def matches(self, name: str) -> bool:
        return self._search(name) is not None


@lru_cache(maxsize=1_000)
def pattern(text: str) -> Pattern:
    """The pattern, made once for all who use it."""
    return Pattern(text)


def is_tame(tree: Any) -> bool:
    """Can the standard library's search with backtracking not take long, however the name was chosen?"""
    items = list(tree)
    anchored = bool(items) and items[0][0] is sre.AT and items[0][1] in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING)
    return degree(items) + (0 if anchored else 1) <= DEGREE_MAX


def degree(items: list[Any]) -> int:
    """The power of the name's length with which the time may grow; above DEGREE_MAX where it may explode."""
    return sum(_degree(kind, value) for kind, value in items)


def _degree(kind: Any, value: Any) -> int:
    if kind in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN, sre.AT):
        return 0
    if kind is sre.SUBPATTERN:
        return degree(value[3])
    if kind is sre.BRANCH:
        # Each branch may be tried, and each may be long.
        return sum(degree(branch) for branch in value[1]) if len(value[1]) > FEW else max(map(degree, value[1]))
    if kind in (sre.ASSERT, sre.ASSERT_NOT):
        return degree(value[1])
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        least, most, body = value
        plain = all(inner in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN) for inner, _ in body)
        if most <= 1:
            return degree(body)
        if plain and len(body) == 1:
            return 0 if most - least <= FEW else 1
        return DEGREE_MAX + 1
    return DEGREE_MAX + 1
