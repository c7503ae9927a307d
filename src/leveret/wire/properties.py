"""A message's properties (class basic): decoded on demand, encoded by publishers.

The broker passes them through as bytes and looks at a few with wire/scan. Used by the client, management and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from leveret.errors import CodecError
from leveret.wire.values import decode_shortstr, decode_table, encode_shortstr, encode_table

PERSISTENT: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BasicProperties:
    """None is absent. `delivery_mode` 2 is persistent, `expiration` milliseconds as text, `timestamp` aware."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, object] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: datetime | int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


def _write_octet(value: int) -> bytes:
    if not 0 <= value <= 255:
        raise CodecError(f"{value} does not fit into an octet")
    return bytes((value,))


def _read_octet(data: bytes, pos: int) -> tuple[int, int]:
    if pos >= len(data):
        raise CodecError("content properties are cut short")
    return data[pos], pos + 1


def _write_time(value: datetime | int) -> bytes:
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise CodecError("a timestamp must know its time zone")
    seconds = value if isinstance(value, int) else (value - _EPOCH) // timedelta(seconds=1)
    if not 0 <= seconds < 2**64:
        raise CodecError(f"timestamp {value} cannot be written")
    return seconds.to_bytes(8, "big")


def _read_time(data: bytes, pos: int) -> tuple[datetime | int, int]:
    """An aware datetime; a number where no calendar reaches."""
    end = pos + 8
    if end > len(data):
        raise CodecError("content properties are cut short")
    seconds = int.from_bytes(data[pos:end], "big")
    try:
        return _EPOCH + timedelta(seconds=seconds), end
    except OverflowError:
        return seconds, end


_KINDS: Final[dict[str, tuple[Callable[[Any], bytes], Callable[[bytes, int], tuple[Any, int]]]]] = {
    "headers": (encode_table, decode_table),
    "delivery_mode": (_write_octet, _read_octet),
    "priority": (_write_octet, _read_octet),
    "timestamp": (_write_time, _read_time),
}
_NAMES: Final = tuple(item.name for item in fields(BasicProperties))
"""In the order of their flags, from bit 15 down."""


def encode_properties(properties: BasicProperties) -> bytes:
    """Flags and values: what follows the first 12 octets of a header frame's payload."""
    flags = 0
    parts = []
    for place, name in enumerate(_NAMES):
        value = getattr(properties, name)
        if value is not None:
            flags |= 1 << (15 - place)
            write = _KINDS[name][0] if name in _KINDS else encode_shortstr
            parts.append(write(value))
    return b"".join((flags.to_bytes(2, "big"), *parts))


def decode_properties(data: bytes, start: int = 0) -> BasicProperties:
    """The properties whose flags stand at `start` (12 in a header frame's payload). Malformed: CodecError."""
    flags, pos = _flags(data, start)
    values: dict[str, Any] = {}
    for place, name in enumerate(_NAMES):
        if flags >> (15 - place) & 1:
            read = _KINDS[name][1] if name in _KINDS else decode_shortstr
            values[name], pos = read(data, pos)
    return BasicProperties(**values)


def _flags(data: bytes, pos: int) -> tuple[int, int]:
    """The first flags word; further ones, announced by bit 0, name no property of 0-9-1."""
    if pos + 2 > len(data):
        raise CodecError("property flags are cut short")
    flags = word = data[pos] << 8 | data[pos + 1]
    pos += 2
    while word & 1:
        if pos + 2 > len(data):
            raise CodecError("property flags are cut short")
        word = data[pos] << 8 | data[pos + 1]
        pos += 2
    return flags, pos
