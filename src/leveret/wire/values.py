"""AMQP values: short and long strings, and field tables with every type as RabbitMQ reads and writes it.

Anything malformed, or that no type can hold, raises CodecError and nothing else, both ways. Strings are UTF-8; octets
that are not survive as surrogate escapes in short strings, and a long string that is not UTF-8 is given as bytes.
Source: AMQP 0-9-1 section 4.2.5 and RabbitMQ's "errata" page, which settles the type letters.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from leveret.errors import CodecError

FieldValue = object
"""bool, int, float, Decimal, str, bytes, datetime (aware), None, list or dict of these."""

NESTING_MAX = 100
"""As deep as anything here goes; a setting may say less for what clients send."""
INT32_DIGITS_MAX = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# ---- strings


def _encode_text(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise CodecError(f"{text!r:.80} holds surrogates that stand for no octet") from None


def encode_shortstr(text: str) -> bytes:
    """One octet of length, then UTF-8; CodecError above 255 octets."""
    data = _encode_text(text)
    if len(data) > 255:
        raise CodecError(f"a short string holds 255 octets, not {len(data)}")
    return bytes((len(data),)) + data


def decode_shortstr(data: bytes, pos: int) -> tuple[str, int]:
    """The string at `pos` and the position behind it."""
    start = pos + 1
    if start > len(data) or start + data[pos] > len(data):
        raise CodecError("a short string is cut short")
    end = start + data[pos]
    return data[start:end].decode("utf-8", "surrogateescape"), end


def encode_longstr(data: bytes) -> bytes:
    """Four octets of length, then the octets."""
    return len(data).to_bytes(4, "big") + data


def decode_longstr(data: bytes, pos: int) -> tuple[bytes, int]:
    """The octets at `pos` and the position behind them."""
    start = pos + 4
    end = start + int.from_bytes(data[pos:start], "big")
    if start > len(data) or end > len(data):
        raise CodecError("a long string is cut short")
    return data[start:end], end


# ---- writing


def encode_table(table: Mapping[str, FieldValue]) -> bytes:
    """A field table with its length in front. CodecError for what no type can hold."""
    return _encode_table(table, 0)


def encode_field(name: str, value: FieldValue) -> bytes:
    """One field of a table: its name and value."""
    return encode_shortstr(name) + _encode_value(value, 1)


def _encode_table(table: Mapping[Any, FieldValue], depth: int) -> bytes:
    parts = []
    for name, value in table.items():
        if not isinstance(name, str):
            raise CodecError(f"a name in a field table is text, not {type(name).__name__}")
        parts.append(encode_shortstr(name))
        parts.append(_encode_value(value, depth + 1))
    return encode_longstr(b"".join(parts))


def _encode_value(value: FieldValue, depth: int) -> bytes:
    if depth > NESTING_MAX:
        raise CodecError(f"a field table is nested more than {NESTING_MAX} deep")
    if isinstance(value, Mapping):
        return b"F" + _encode_table(value, depth)
    if isinstance(value, list | tuple):
        return b"A" + encode_longstr(b"".join(_encode_value(item, depth + 1) for item in value))
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    raise CodecError(f"no AMQP type for {type(value).__name__}")


def _write_int(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"I" + struct.pack(">i", value)
    if -(2**63) <= value < 2**63:
        return b"l" + struct.pack(">q", value)
    raise CodecError(f"{value} does not fit into 64 bits")


def _write_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or exponent < -255:
        raise CodecError(f"decimal {value!s:.40} cannot be written")
    zeros = max(0, exponent) if value else 0
    # Measured before it is computed: the integer of Decimal("1E+99999999") would not fit into memory.
    if len(digits) + zeros > INT32_DIGITS_MAX:
        raise CodecError(f"decimal {value!s:.40} does not fit into 32 bits")
    number = int("".join(map(str, digits))) * 10**zeros
    number = -number if sign else number
    if not -(2**31) <= number < 2**31:
        raise CodecError(f"decimal {value!s:.40} does not fit into 32 bits")
    return b"D" + struct.pack(">Bi", max(0, -exponent), number)


def _write_time(value: datetime) -> bytes:
    if value.utcoffset() is None:
        raise CodecError("a timestamp must know its time zone")
    seconds = (value - _EPOCH) // timedelta(seconds=1)
    return b"T" + struct.pack(">q", seconds)


_WRITERS: Sequence[tuple[type, Callable[..., bytes]]] = (
    (bool, lambda value: b"t\x01" if value else b"t\x00"),
    (int, _write_int),
    (str, lambda value: b"S" + encode_longstr(_encode_text(value))),
    (type(None), lambda value: b"V"),
    (float, lambda value: b"d" + struct.pack(">d", value)),
    (bytes, lambda value: b"x" + encode_longstr(value)),
    (datetime, _write_time),
    (Decimal, _write_decimal),
)


# ---- reading


def decode_table(data: bytes, pos: int, nesting_max: int = NESTING_MAX) -> tuple[dict[str, FieldValue], int]:
    """The table whose length stands at `pos`, and the position behind it."""
    return _decode_table(data, pos, 0, nesting_max)


def decode_field(data: bytes, pos: int) -> tuple[str, int]:
    """The name of the field at `pos`, and the position behind its value."""
    name, pos = decode_shortstr(data, pos)
    return name, _decode_value(data, pos, 1, NESTING_MAX)[1]


def _decode_table(data: bytes, pos: int, depth: int, most: int) -> tuple[dict[str, FieldValue], int]:
    pos, end = _extent(data, pos, "table")
    table: dict[str, FieldValue] = {}
    while pos < end:
        name, pos = decode_shortstr(data, pos)
        value, pos = _decode_value(data, pos, depth + 1, most)
        table[name] = value
    if pos != end:
        raise CodecError("a field table is longer than it says")
    return table, end


def _extent(data: bytes, pos: int, what: str) -> tuple[int, int]:
    start = pos + 4
    end = start + int.from_bytes(data[pos:start], "big")
    if start > len(data) or end > len(data):
        raise CodecError(f"a field {what} claims more octets than there are")
    return start, end


def _decode_value(data: bytes, pos: int, depth: int, most: int) -> tuple[FieldValue, int]:
    if depth > most:
        raise CodecError(f"a field table is nested more than {most} deep")
    if pos >= len(data):
        raise CodecError("a field value is missing")
    kind = data[pos : pos + 1]
    pos += 1
    if kind == b"F":
        return _decode_table(data, pos, depth, most)
    if kind == b"A":
        return _decode_array(data, pos, depth, most)
    if kind == b"S" or kind == b"x":
        return _decode_octets(data, pos, kind)
    number = _NUMBERS.get(kind)
    if number is None:
        raise CodecError(f"unknown field type {kind!r}")
    layout, read = number
    end = pos + layout.size
    if end > len(data):
        raise CodecError("a field value is cut short")
    return read(*layout.unpack_from(data, pos)), end


def _decode_octets(data: bytes, pos: int, kind: bytes) -> tuple[str | bytes, int]:
    octets, pos = decode_longstr(data, pos)
    if kind == b"x":
        return octets, pos
    try:
        return octets.decode(), pos
    except UnicodeDecodeError:
        return octets, pos


def _decode_array(data: bytes, pos: int, depth: int, most: int) -> tuple[list[FieldValue], int]:
    pos, end = _extent(data, pos, "array")
    items = []
    while pos < end:
        item, pos = _decode_value(data, pos, depth + 1, most)
        items.append(item)
    if pos != end:
        raise CodecError("a field array is longer than it says")
    return items, end


def _same(value: FieldValue) -> FieldValue:
    return value


def _read_decimal(scale: int, number: int) -> Decimal:
    """Built, not computed: arithmetic would round to the caller's decimal context, or trap."""
    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -scale))


def _read_time(seconds: int) -> FieldValue:
    """An aware datetime; a number where no calendar reaches."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return seconds


_NUMBERS: dict[bytes, tuple[struct.Struct, Callable[..., FieldValue]]] = {
    b"t": (struct.Struct(">?"), _same),
    b"b": (struct.Struct(">b"), _same),
    b"B": (struct.Struct(">B"), _same),
    b"s": (struct.Struct(">h"), _same),
    b"u": (struct.Struct(">H"), _same),
    b"I": (struct.Struct(">i"), _same),
    b"i": (struct.Struct(">I"), _same),
    b"l": (struct.Struct(">q"), _same),
    b"L": (struct.Struct(">q"), _same),
    b"f": (struct.Struct(">f"), _same),
    b"d": (struct.Struct(">d"), _same),
    b"D": (struct.Struct(">Bi"), _read_decimal),
    b"T": (struct.Struct(">q"), _read_time),
    b"V": (struct.Struct(">"), lambda: None),
}
