"""Matching of a message's headers against a binding's arguments, for headers exchanges.

x-match: `all` (default) or `any`; keys that begin with x- do not count unless it is `all-with-x` or `any-with-x`. A void
argument asks for the key alone.
"""

from __future__ import annotations

from typing import Final

from leveret.broker.arguments import term, type_name
from leveret.errors import ChannelError

MATCHES: Final = ("all", "any", "all-with-x", "any-with-x")


def check_match(arguments: dict[str, object]) -> None:
    """406 if x-match is there and is none of the four."""
    value = arguments.get("x-match", "all")
    if not isinstance(value, str):
        text = f"Invalid x-match field type {type_name(value)} (value {term(value)}); expected longstr"
        raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
    if value not in MATCHES:
        expected = "all, any, all-with-x, or any-with-x"
        raise ChannelError(406, f"PRECONDITION_FAILED - Invalid x-match field value {term(value)}; expected {expected}")


class HeaderMatch:
    def __init__(self, arguments: dict[str, object]) -> None:
        match = arguments.get("x-match", "all")
        self._any: Final = match == "any" or match == "any-with-x"
        with_x = match == "all-with-x" or match == "any-with-x"
        self._wanted: Final = {
            name: value
            for name, value in arguments.items()
            if name != "x-match" and (with_x or not name.startswith("x-"))
        }

    def matches(self, headers: dict[str, object]) -> bool:
        """With nothing wanted, `all` matches everything and `any` nothing."""
        for name, value in self._wanted.items():
            if (name in headers and (value is None or same(value, headers[name]))) == self._any:
                return self._any
        return not self._any


def same(wanted: object, given: object) -> bool:
    """Equal in value, whatever the width of an integer and whether a text is marked as one: but true is not 1."""
    if isinstance(wanted, bool) or isinstance(given, bool):
        return wanted is given
    if isinstance(wanted, int) and isinstance(given, int):
        return wanted == given
    if isinstance(wanted, (str, bytes)) and isinstance(given, (str, bytes)):
        return _encoded(wanted) == _encoded(given)
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(same(wanted[i], given[i]) for i in range(len(wanted)))
    if isinstance(wanted, dict) and isinstance(given, dict):
        return wanted.keys() == given.keys() and all(same(wanted[key], given[key]) for key in wanted)
    return type(wanted) is type(given) and wanted == given


def _encoded(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
