"""Typed arguments: what a call becomes as JSON, and what comes back of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leveret.errors import TaskError
from leveret.tasks.signature import Signature


@dataclass
class Photo:
    path: Path
    taken: datetime


class Colour(Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    y: int = 0


def round_trip(function: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    signature = Signature(function, "t")
    return signature.decode(signature.encode(args, kwargs))


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Photo, Photo(Path("hare.png"), NOON)),
        (Point, Point(1, 2)),
        (datetime, NOON),
        (timedelta, timedelta(hours=1)),
        (Path, Path("a/b")),
        (bytes, b"\x00\xff"),
        (int, 2**80),
        (Decimal, Decimal("1.10")),
        (uuid.UUID, uuid.UUID(int=7)),
        (Colour, Colour.RED),
        (set[int], {1, 2}),
        (dict[int, Point], {1: Point(3)}),
        (list[Path] | None, [Path("x")]),
        (list[Path] | None, None),
        (tuple[int, str], (1, "a")),
    ],
    ids=str,
)
def test_a_value_arrives_as_what_its_annotation_says(kind: Any, value: Any) -> None:
    def task(value: Any) -> None: ...

    task.__annotations__["value"] = kind
    assert round_trip(task, value) == ((value,), {})


def test_arguments_arrive_as_positional_and_named_as_the_function_has_them() -> None:
    def task(first: int, /, second: str = "b", *rest: Point, named: bool = False, **others: Path) -> None: ...

    args, kwargs = round_trip(task, 1, "x", Point(1), Point(2), named=True, more=Path("p"))
    assert args == (1, "x", Point(1), Point(2))
    assert kwargs == {"named": True, "more": Path("p")}


def test_without_annotations_plain_json_values_arrive() -> None:
    def task(value):  # type: ignore[no-untyped-def]
        ...

    assert round_trip(task, {"a": [1, 2.5, None, "x"]}) == (({"a": [1, 2.5, None, "x"]},), {})


def test_annotations_may_name_what_is_defined_later() -> None:
    assert round_trip(uses_later, Later(3)) == ((Later(3),), {})


def uses_later(value: Later) -> None: ...


@dataclass
class Later:
    number: int


def typed(number: int, path: Path = Path()) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {}, "missing a required argument: 'number'"),
        ((1, "p", 3), {}, "too many positional arguments"),
        ((1,), {"width": 2}, "unexpected keyword argument 'width'"),
        (("one",), {}, "argument 'number' does not fit: Expected `int`, got `str`"),
        ((None,), {}, "argument 'number' does not fit"),
        ((1, 5), {}, "argument 'path' does not fit"),
        ((object(),), {}, "cannot be written as JSON"),
        (("\ud800",), {}, "cannot be written as JSON"),
    ],
)
def test_a_wrong_call_is_refused_at_the_sender(args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TaskError, match=complaint.replace("(", r"\(")):
        Signature(typed, "t").encode(args, kwargs)


def test_an_endless_value_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TaskError, match="cannot be written"):
        Signature(lambda value: None, "t").encode((endless,), {})


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"5", b'{"args": 5}', b'{"args": [1, 2, 3, 4]}', b'{"args": [1], "kwargs": {"number": 1}}',
     b'{"args": ["x"]}', b'{"args": [1', b'{"args": [1], "kwargs": []}', b"[" * 100_000],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_by_nothing_but_a_task_error(body: bytes) -> None:
    with pytest.raises(TaskError):
        Signature(typed, "t").decode(body)


def test_either_member_of_the_body_may_be_left_out_and_others_are_ignored() -> None:
    signature = Signature(typed, "t")
    assert signature.decode(b'{"args": [4]}') == ((4,), {})
    assert signature.decode(b'{"kwargs": {"number": 4}, "version": 2}') == ((4,), {})


def test_an_annotation_that_means_nothing_at_run_time_is_a_task_error() -> None:
    def task(value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TaskError, match="Nowhere"):
        Signature(task, "t").encode((1,), {})


def test_how_a_call_is_bound_is_the_same_read_quickly_and_closely() -> None:
    def task(first: int, second: int = 2, third: int = 3, *, fourth: int = 4) -> None: ...

    signature = Signature(task, "t")
    names = ["first", "second", "third", "fourth"]
    for positional in range(5):
        for mask in range(16):
            named = {name: 10 + place for place, name in enumerate(names) if mask >> place & 1}
            body = msgspec.json.encode({"args": list(range(positional)), "kwargs": named})
            quickly = signature._read_quickly(body)
            try:
                closely = signature._read_closely(body)
            except TaskError:
                closely = None
            assert quickly == closely, body


def test_a_class_that_compares_oddly_is_an_argument_like_any_other() -> None:
    @dataclass
    class Odd:
        value: int

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not to be compared")

    def task(odd: Odd) -> None: ...

    task.__annotations__["odd"] = Odd
    _, kwargs = Signature(task, "t").decode(b'{"kwargs": {"odd": {"value": 3}}}')
    args, _ = Signature(task, "t").decode(b'{"args": [{"value": 3}]}')
    assert args[0].value == 3
    assert not kwargs
