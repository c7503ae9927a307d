"""Changing fields of an encoded headers table: every other octet stays as its sender wrote it.

Decoding and encoding again would keep the values but not their types (a small 64-bit integer would come back as a 32-bit
one), and clients in typed languages notice. Called by the broker, for the few messages that need it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from leveret.errors import CodecError
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties
from leveret.wire.scan import scan
from leveret.wire.values import decode_field, encode_field, encode_longstr


def with_field(header: bytes, at: int, name: str, value: object) -> bytes:
    """`header` with the field of its table at `at` set to `value`. Malformed: CodecError."""
    return _replaced(header, at, name, encode_field(name, value))


def without_field(header: bytes, at: int, name: str) -> bytes:
    """`header` with the field taken out of its table at `at`, if it is there. Malformed: CodecError."""
    return _replaced(header, at, name, b"")


def with_fields(payload: bytes, fields: Mapping[str, object]) -> bytes:
    """A header frame's payload with these fields in its headers table; as it was, if it cannot be read."""
    try:
        return rewritten(payload, decode_properties(payload, 12), fields, ())
    except CodecError:
        return payload


def rewritten(
    payload: bytes, properties: BasicProperties, fields: Mapping[str, object], without: Collection[str]
) -> bytes:
    """The payload with `properties`, whose headers are those of `payload` but for `fields` and `without`.

    Malformed: CodecError.
    """
    before = scan(payload).headers_at
    kept = _others(payload, before, {*fields, *without}) if before else b""
    table = encode_longstr(kept + b"".join([encode_field(name, value) for name, value in fields.items()]))
    bare = payload[:12] + encode_properties(replace(properties, headers={}))
    after = scan(bare).headers_at
    return bare[:after] + table + bare[after + 4 :]


def _replaced(header: bytes, at: int, name: str, field: bytes) -> bytes:
    end = at + 4 + int.from_bytes(header[at : at + 4], "big")
    return header[:at] + encode_longstr(_others(header, at, (name,)) + field) + header[end:]


def _others(header: bytes, at: int, names: Collection[str]) -> bytes:
    """The octets of the fields that have none of `names`, in the table at `at`."""
    pos = at + 4
    end = pos + int.from_bytes(header[at:pos], "big")
    kept = []
    while pos < end:
        start = pos
        name, pos = decode_field(header, pos)
        if name not in names:
            kept.append(header[start:pos])
    return b"".join(kept)
