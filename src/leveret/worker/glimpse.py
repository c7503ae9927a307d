"""How what a task returned begins, for eyes. Of a value that is long or deep no more is read than is shown.

No code of the program's own is run for it: the repr of an object may ask a database. Used by announcer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, Final
from uuid import UUID

import msgspec

from leveret.tasks.signature import Unwritable

CHARACTERS_MAX: Final = 200
ITEMS_MAX: Final = 10
"""Of a list or a dictionary."""

DEPTH_MAX: Final = 3
BITS_MAX: Final = 500
MORE: Final = "…"
PLAIN: Final = frozenset({type(None), bool, float, complex, date, datetime, time, timedelta, Decimal, UUID})
LISTS: Final[dict[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
}


def glimpse(value: object) -> str:
    """As Python writes it, or as JSON if the task ran in a process of its own. Empty: it returned nothing."""
    if value is None or isinstance(value, Unwritable):
        return ""
    try:
        text = _shown(value, DEPTH_MAX)
    except Exception:  # the task's thread is still changing it
        return ""
    return text if len(text) <= CHARACTERS_MAX else text[: CHARACTERS_MAX - 1] + MORE


def _shown(value: Any, depth: int) -> str:
    kind = type(value)
    if kind in PLAIN:
        return repr(value)
    if isinstance(value, Enum):
        return f"{kind.__qualname__}.{value.name}"
    if isinstance(value, int):
        bits = int.bit_length(value)
        return int.__repr__(value) if bits <= BITS_MAX else f"<{kind.__qualname__} of {bits} bits>"
    if kind is str or kind is bytes:
        return repr(value[:CHARACTERS_MAX])
    if isinstance(value, msgspec.Raw):
        return bytes(memoryview(value)[: CHARACTERS_MAX + 1]).decode("utf-8", "ignore")
    if kind in LISTS:
        opened, closed = LISTS[kind]
        return opened + _some((_shown(one, depth - 1) for one in value), len(value), depth) + closed
    if kind is dict:
        pairs = (f"{_shown(key, depth - 1)}: {_shown(one, depth - 1)}" for key, one in value.items())
        return "{" + _some(pairs, len(value), depth) + "}"
    names = _fields(kind)
    if names is None:
        return f"<{kind.__qualname__}>"
    # What a mapped class has not loaded yet is not there, and asking for it would load it.
    there = getattr(value, "__dict__", None)
    told = (
        f"{name}={_shown(getattr(value, name), depth - 1) if there is None or name in there else MORE}"
        for name in names
    )
    return f"{kind.__qualname__}({_some(told, len(names), depth)})"


def _some(pieces: Iterable[str], number: int, depth: int) -> str:
    if depth <= 0 and number:
        return MORE
    return ", ".join([*islice(pieces, ITEMS_MAX), *[MORE] * (number > ITEMS_MAX)])


def _fields(kind: type) -> tuple[str, ...] | None:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if not hasattr(kind, "__dataclass_fields__"):
        return None
    from dataclasses import fields, is_dataclass  # which a worker whose program has none never loads

    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None
