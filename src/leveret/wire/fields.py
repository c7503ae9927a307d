"""Changing one field of an encoded field table: every other octet stays as its sender wrote it.

Decoding and encoding again would keep the values but not their types (a small 64-bit integer would come back as a 32-bit
one), and clients in typed languages notice. Called by broker/router and broker/delay, for the few messages that need it.
"""

from __future__ import annotations

from leveret.wire.values import decode_field, encode_field, encode_longstr


def with_field(header: bytes, at: int, name: str, value: object) -> bytes:
    """`header` with the field of its table at `at` set to `value`. Malformed: CodecError."""
    return _replaced(header, at, name, encode_field(name, value))


def without_field(header: bytes, at: int, name: str) -> bytes:
    """`header` with the field taken out of its table at `at`, if it is there. Malformed: CodecError."""
    return _replaced(header, at, name, b"")


def _replaced(header: bytes, at: int, name: str, field: bytes) -> bytes:
    pos = at + 4
    end = pos + int.from_bytes(header[at:pos], "big")
    parts = []
    while pos < end:
        start = pos
        found, pos = decode_field(header, pos)
        if found != name:
            parts.append(header[start:pos])
    return header[:at] + encode_longstr(b"".join((*parts, field))) + header[end:]
