"""How what a task returned begins, for eyes."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Never

import msgspec
import pytest

from leveret.tasks.signature import Unwritable
from leveret.worker.glimpse import CHARACTERS_MAX, glimpse


@dataclass
class Report:
    rows: int
    name: str = "q"


class Point(msgspec.Struct):
    x: int
    y: Any = None


class Colour(enum.Enum):
    RED = "r"


class Query:
    """As an object-relational mapper's: each look at it costs."""

    def __repr__(self) -> Never:
        raise AssertionError("its repr was made")

    def __iter__(self) -> Never:
        raise AssertionError("it was asked")

    def __len__(self) -> Never:
        raise AssertionError("it was counted")


class Lazy(dict[str, int]):
    def items(self) -> Never:
        raise AssertionError("it was asked")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (Unwritable("no JSON"), ""),
        (0, "0"),
        (False, "False"),
        ("it's", '"it\'s"'),
        (b"\x00", "b'\\x00'"),
        ([], "[]"),
        ((1, [2]), "(1, [2])"),
        ({"a": {"b": 1.5}}, "{'a': {'b': 1.5}}"),
        (set(), "{}"),
        (Report(3), "Report(rows=3, name='q')"),
        (Point(1), "Point(x=1, y=None)"),
        (Colour.RED, "Colour.RED"),
        (Query(), "<Query>"),
        ([Query()], "[<Query>]"),
        (Lazy(), "<Lazy>"),
        (uuid.UUID(int=1), "UUID('00000000-0000-0000-0000-000000000001')"),
        (datetime(2026, 1, 2, tzinfo=UTC), "datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)"),
        (msgspec.Raw(b'{"a":1}'), '{"a":1}'),
        (1 << 600, "<int of 601 bits>"),
        (list(range(11)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]"),
        ([[[[[1]]]]], "[[[[…]]]]"),
    ],
)
def test_it_is_as_python_writes_it(value: object, text: str) -> None:
    assert glimpse(value) == text


@pytest.mark.parametrize("value", ["x" * 1000, b"x" * 1000, msgspec.Raw(b"1" * 1000), ["y" * 150] * 9])
def test_of_what_is_long_the_beginning_is_told(value: object) -> None:
    text = glimpse(value)
    assert len(text) == CHARACTERS_MAX and text.endswith("…")


def test_what_contains_itself_comes_to_an_end() -> None:
    endless: list[object] = []
    endless += [endless, endless]
    assert glimpse(endless) == "[[[[…], […]], [[…], […]]], [[[…], […]], [[…], […]]]]"


def test_of_what_is_long_no_more_is_read_than_is_shown() -> None:
    class Last(enum.Enum):
        READ = 1

        @property
        def name(self) -> Never:  # type: ignore[override]
            raise AssertionError("it was read")

    assert glimpse([*range(10), Last.READ]) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]"
    assert glimpse(dict.fromkeys([*range(10), Last.READ], 1)).endswith("9: 1, …}")


def test_what_was_not_loaded_yet_is_not_loaded_for_it() -> None:
    """As SQLAlchemy's mapped classes have it."""

    class Loads:
        def __get__(self, instance: object, owner: type) -> Never:
            raise AssertionError("it was loaded")

    @dataclass(init=False, repr=False)
    class Row:
        id: int
        orders: list[int]

    Row.orders = Loads()  # type: ignore[assignment]
    row = Row()
    row.id = 7
    assert glimpse(row).endswith("Row(id=7, orders=…)")


def test_what_is_being_changed_meanwhile_is_not_told() -> None:
    class Mean(enum.Enum):
        ONE = 1

        @property
        def name(self) -> Never:  # type: ignore[override]
            raise RuntimeError("dictionary changed size during iteration")

    assert glimpse([Mean.ONE]) == ""
