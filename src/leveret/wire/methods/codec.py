"""The codec of all methods, made once from the annotations of their fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, get_type_hints

from leveret.errors import CodecError
from leveret.wire.methods import connection, messages, topology
from leveret.wire.methods.method import Method
from leveret.wire.values import (
    NESTING_MAX,
    decode_longstr,
    decode_shortstr,
    decode_table,
    encode_longstr,
    encode_shortstr,
    encode_table,
)


class UnknownMethod(CodecError):
    """No method has this class and method id."""

    def __init__(self, class_id: int, method_id: int) -> None:
        super().__init__(f"unknown method {class_id}.{method_id}")
        self.class_id = class_id
        self.method_id = method_id


def _pack(octets: int) -> Callable[[int], bytes]:
    def write(value: int) -> bytes:
        try:
            return value.to_bytes(octets, "big")
        except OverflowError:
            raise CodecError(f"{value} does not fit into {octets} octets") from None

    return write


def _unpack(octets: int) -> Callable[[bytes, int], tuple[int, int]]:
    def read(data: bytes, pos: int) -> tuple[int, int]:
        if pos + octets > len(data):
            raise CodecError("the arguments of a method are cut short")
        return int.from_bytes(data[pos : pos + octets], "big"), pos + octets

    return read


def _read_text(data: bytes, pos: int) -> tuple[str, int]:
    """A short string that is UTF-8: names of methods without content have to be, as in RabbitMQ.

    Those of methods with content come as the publisher wrote them: see decode_method.
    """
    text, end = decode_shortstr(data, pos)
    if not text.isascii() and not text.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in text):
        raise CodecError("a short string that is not UTF-8")
    return text, end


_WRITE: Final[dict[str, Callable[[Any], bytes]]] = {
    "octet": _pack(1),
    "short": _pack(2),
    "long": _pack(4),
    "longlong": _pack(8),
    "shortstr": encode_shortstr,
    "longstr": encode_longstr,
    "table": encode_table,
}
_READ: Final[dict[str, Callable[[bytes, int], tuple[Any, int]]]] = {
    "octet": _unpack(1),
    "short": _unpack(2),
    "long": _unpack(4),
    "longlong": _unpack(8),
    "shortstr": _read_text,
    "longstr": decode_longstr,
}

Layout = list[tuple[str, str]]


@cache
def _layout(cls: type[Method]) -> Layout:
    """Names and wire types of a method's fields, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return [(name, hints[name].__metadata__[0]) for name in cls.__struct_fields__]


METHODS: Final[dict[tuple[int, int], type[Method]]] = {
    (cls.class_id, cls.method_id): cls
    for module in (connection, topology, messages)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Method) and cls is not Method
}


def encode_method(method: Method) -> bytes:
    """A method frame's payload: class id, method id, arguments. CodecError if a value does not fit its field."""
    parts = [method.class_id.to_bytes(2, "big"), method.method_id.to_bytes(2, "big")]
    bits: list[bool] = []
    for name, kind in _layout(type(method)):
        value = getattr(method, name)
        if kind == "bit":
            bits.append(value)
            continue
        _flush_bits(bits, parts)
        parts.append(_WRITE[kind](value))
    _flush_bits(bits, parts)
    return b"".join(parts)


def _flush_bits(bits: list[bool], parts: list[bytes]) -> None:
    """Bits that stand side by side share octets, the first in the lowest place (section 4.2.5.2)."""
    while bits:
        parts.append(bytes((sum(1 << place for place, bit in enumerate(bits[:8]) if bit),)))
        del bits[:8]


def decode_method(payload: bytes, nesting_max: int = NESTING_MAX) -> Method:
    """The method in a method frame's payload. UnknownMethod or CodecError."""
    if len(payload) < 4:
        raise CodecError("a method frame of less than 4 octets")
    class_id, method_id = payload[0] << 8 | payload[1], payload[2] << 8 | payload[3]
    cls = METHODS.get((class_id, method_id))
    if cls is None:
        raise UnknownMethod(class_id, method_id)
    values: dict[str, Any] = {}
    pos = 4
    place = 8
    for name, kind in _layout(cls):
        if kind == "table":
            values[name], pos = decode_table(payload, pos, nesting_max)
            place = 8
            continue
        if kind != "bit":
            read = decode_shortstr if kind == "shortstr" and cls.has_content else _READ[kind]
            values[name], pos = read(payload, pos)
            place = 8
            continue
        if place == 8:
            octet, pos = _READ["octet"](payload, pos)
            place = 0
        values[name] = bool(octet >> place & 1)
        place += 1
    if pos != len(payload):
        raise CodecError(f"{len(payload) - pos} octets behind the arguments of {cls.name}")
    return cls(**values)
