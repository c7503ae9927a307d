"""One field of an encoded table is changed; every other octet stays as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import CodecError
from leveret.wire.fields import with_field, without_field
from leveret.wire.values import decode_table, encode_longstr, encode_table

BEFORE, BEHIND = b"before", b"behind"
NAMES = st.sampled_from(["a", "b", "x-delay", "BCC", ""])
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.text(max_size=5), st.booleans(), st.none(), st.lists(st.booleans())
)
TABLES = st.dictionaries(NAMES, VALUES)


@given(TABLES, NAMES, VALUES)
def test_the_field_is_set_and_the_rest_unchanged(table: dict[str, object], name: str, value: object) -> None:
    header = with_field(BEFORE + encode_table(table) + BEHIND, len(BEFORE), name, value)
    assert header.startswith(BEFORE) and header.endswith(BEHIND)
    assert decode_table(header, len(BEFORE)) == (table | {name: value}, len(header) - len(BEHIND))


@given(TABLES, NAMES)
def test_the_field_is_taken_out(table: dict[str, object], name: str) -> None:
    header = without_field(BEFORE + encode_table(table) + BEHIND, len(BEFORE), name)
    kept = {key: value for key, value in table.items() if key != name}
    assert decode_table(header, len(BEFORE)) == (kept, len(header) - len(BEHIND))


def test_types_that_would_not_survive_decoding_do() -> None:
    long_five = b"\x01n" + b"l" + (5).to_bytes(8, "big")
    header = with_field(encode_longstr(long_five + b"\x07x-delayB\x05"), 0, "x-delay", -5)
    assert header == encode_longstr(long_five + b"\x07x-delayI\xff\xff\xff\xfb")


def test_a_damaged_table_is_a_codec_error() -> None:
    with pytest.raises(CodecError):
        with_field(encode_longstr(b"\x01a?"), 0, "b", 1)
