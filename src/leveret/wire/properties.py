"""A message's properties (class basic): decoded on demand, encoded by publishers.

The broker passes them through as bytes and looks at a few with wire/scan. Used by the client, management and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Any, Final

import msgspec

from leveret.errors import CodecError
from leveret.wire.values import decode_shortstr, decode_table, encode_shortstr, encode_table

PERSISTENT: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BasicProperties(msgspec.Struct, frozen=True):
    """None is absent. `delivery_mode` 2 is persistent, `expiration` milliseconds as text, `timestamp` aware, or in seconds.

    `msgspec.structs.replace` makes another one of it.
    """

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
    seconds = value if isinstance(value, int) else floor(value.timestamp())
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


_READERS: Final[dict[str, Callable[[bytes, int], tuple[Any, int]]]] = {
    "headers": decode_table,
    "delivery_mode": _read_octet,
    "priority": _read_octet,
    "timestamp": _read_time,
}
_NAMES: Final = BasicProperties.__struct_fields__
"""In the order of their flags, from bit 15 down."""

_FIELDS: Final = tuple(
    (1 << (15 - place), _READERS.get(name, decode_shortstr), name) for place, name in enumerate(_NAMES)
)


def encode_properties(properties: BasicProperties) -> bytes:
    """Flags and values: what follows the first 12 octets of a header frame's payload. Every publish goes through here."""
    flags = 0  # written out: a loop over the fields takes nearly twice as long
    parts = [b""]
    if (text := properties.content_type) is not None:
        flags |= 0x8000
        parts.append(encode_shortstr(text))
    if (text := properties.content_encoding) is not None:
        flags |= 0x4000
        parts.append(encode_shortstr(text))
    if (headers := properties.headers) is not None:
        flags |= 0x2000
        parts.append(encode_table(headers))
    if (octet := properties.delivery_mode) is not None:
        flags |= 0x1000
        parts.append(_write_octet(octet))
    if (octet := properties.priority) is not None:
        flags |= 0x0800
        parts.append(_write_octet(octet))
    if (text := properties.correlation_id) is not None:
        flags |= 0x0400
        parts.append(encode_shortstr(text))
    if (text := properties.reply_to) is not None:
        flags |= 0x0200
        parts.append(encode_shortstr(text))
    if (text := properties.expiration) is not None:
        flags |= 0x0100
        parts.append(encode_shortstr(text))
    if (text := properties.message_id) is not None:
        flags |= 0x0080
        parts.append(encode_shortstr(text))
    if (time := properties.timestamp) is not None:
        flags |= 0x0040
        parts.append(_write_time(time))
    if (text := properties.type) is not None:
        flags |= 0x0020
        parts.append(encode_shortstr(text))
    if (text := properties.user_id) is not None:
        flags |= 0x0010
        parts.append(encode_shortstr(text))
    if (text := properties.app_id) is not None:
        flags |= 0x0008
        parts.append(encode_shortstr(text))
    if (text := properties.cluster_id) is not None:
        flags |= 0x0004
        parts.append(encode_shortstr(text))
    parts[0] = flags.to_bytes(2, "big")
    return b"".join(parts)


def decode_properties(data: bytes, start: int = 0) -> BasicProperties:
    """The properties whose flags stand at `start` (12 in a header frame's payload). Malformed: CodecError."""
    flags, pos = _flags(data, start)
    values: dict[str, Any] = {}
    for flag, read, name in _FIELDS:
        if flags & flag:
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
