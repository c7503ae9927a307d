"""Changing the headers table of an encoded content header: what is not changed stays as its sender wrote it.

Decoding and encoding again would keep the values but not their types (a small 64-bit integer would come back as a 32-bit
one), and clients in typed languages notice. Called by broker/dead_letters and broker/queue.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from leveret.errors import CodecError
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties
from leveret.wire.scan import scan
from leveret.wire.values import decode_field, encode_field, encode_longstr


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
    kept = _other_fields(payload, before, {*fields, *without}) if before else b""
    table = encode_longstr(kept + b"".join([encode_field(name, value) for name, value in fields.items()]))
    bare = payload[:12] + encode_properties(replace(properties, headers={}))
    after = scan(bare).headers_at
    return bare[:after] + table + bare[after + 4 :]


def _other_fields(payload: bytes, at: int, names: Collection[str]) -> bytes:
    """The octets of the fields that have none of `names`, in the table at `at`."""
    pos = at + 4
    end = pos + int.from_bytes(payload[at:pos], "big")
    kept = []
    while pos < end:
        start = pos
        name, pos = decode_field(payload, pos)
        if name not in names:
            kept.append(payload[start:pos])
    return b"".join(kept)
