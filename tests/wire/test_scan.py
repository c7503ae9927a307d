"""What the broker reads of a message's properties: refused if nobody could read them, else as wire/properties has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import CodecError
from leveret.wire.frames import header_payload
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties
from leveret.wire.scan import scan

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
tables = st.dictionaries(st.text(max_size=5), values, max_size=4)
HEADERS = b"\x20\x00"


def header(properties: bytes) -> bytes:
    return header_payload(0, properties)


@given(tables)
def test_every_table_that_can_be_written_is_accepted(table: dict[str, object]) -> None:
    found = scan(header(encode_properties(BasicProperties(headers=table, priority=3, expiration="5", user_id="u"))))
    assert (found.priority, found.expiration, found.user_id, found.headers_at) == (3, "5", "u", 14)


@given(st.binary(max_size=40))
def test_what_is_accepted_can_be_read(fields: bytes) -> None:
    data = header(HEADERS + len(fields).to_bytes(4, "big") + fields)
    try:
        scan(data)
    except CodecError:
        return
    decode_properties(data, 12)


@given(tables, st.data())
def test_a_damaged_table_is_accepted_only_if_it_can_be_read(table: dict[str, object], data: st.DataObject) -> None:
    whole = bytearray(header(encode_properties(BasicProperties(headers=table))))
    whole[data.draw(st.integers(14, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        scan(bytes(whole))
    except CodecError:
        return
    decode_properties(bytes(whole), 12)


def test_nesting_without_end_is_refused() -> None:
    fields = b""
    for _ in range(200):
        fields = b"A" + len(fields).to_bytes(4, "big") + fields
    with pytest.raises(CodecError, match="nested"):
        scan(header(HEADERS + (len(fields) + 2).to_bytes(4, "big") + b"\x01a" + fields))
