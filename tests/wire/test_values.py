"""Field tables: any value round-trips, any bytes give a value or CodecError, and pika reads and writes the same."""

from __future__ import annotations

import contextlib
import decimal
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

import pika.data
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import CodecError
from leveret.wire.values import decode_shortstr, decode_table, encode_shortstr, encode_table

names = st.text(max_size=40).filter(lambda text: len(text.encode("utf-8", "surrogateescape")) <= 255)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=50),
    st.binary(max_size=50),
    st.decimals(-(10**6), 10**6, places=3),
    st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0)),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)
tables = st.dictionaries(names, values, max_size=6)


@given(tables)
def test_any_table_round_trips(table: dict[str, object]) -> None:
    data = encode_table(table)
    assert decode_table(b"xx" + data, 2) == (table, 2 + len(data))


@given(st.binary(max_size=300))
def test_any_bytes_give_a_table_or_a_codec_error(data: bytes) -> None:
    try:
        table, end = decode_table(data, 0)
    except CodecError:
        return
    assert end <= len(data) and isinstance(table, dict)


@given(tables, st.data())
def test_a_damaged_table_gives_a_table_or_a_codec_error(table: dict[str, object], data: st.DataObject) -> None:
    encoded = bytearray(encode_table(table))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CodecError):
        decode_table(bytes(encoded), 0)


@given(st.binary(max_size=255))
def test_any_octets_survive_in_a_short_string(octets: bytes) -> None:
    text, end = decode_shortstr(bytes((len(octets),)) + octets, 0)
    assert encode_shortstr(text)[1:] == octets and end == len(octets) + 1


def test_pika_reads_what_is_written() -> None:
    table = {"text": "ü", "int": 7, "long": 2**40, "flag": True, "none": None, "list": [1, "a"], "table": {"a": 1}}
    decoded, _ = pika.data.decode_table(encode_table(table), 0)
    assert decoded == table


def test_what_pika_writes_is_read() -> None:
    table = {"text": "ü", "int": 7, "long": 2**40, "flag": False, "none": None, "decimal": Decimal("1.5")}
    pieces: list[bytes] = []
    pika.data.encode_table(pieces, table)
    assert decode_table(b"".join(pieces), 0)[0] == table


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"b\xff", -1),
        (b"B\xff", 255),
        (b"s\xff\xfe", -2),
        (b"u\xff\xfe", 65534),
        (b"i\xff\xff\xff\xff", 2**32 - 1),
        (b"L\xff\xff\xff\xff\xff\xff\xff\xff", -1),
        (b"f\x3f\x80\x00\x00", 1.0),
        (b"S\x00\x00\x00\x01\xff", b"\xff"),
        (b"T\x7f\xff\xff\xff\xff\xff\xff\xff", 2**63 - 1),
    ],
)
def test_every_type_letter_is_read(octets: bytes, value: object) -> None:
    data = b"\x01k" + octets
    assert decode_table(len(data).to_bytes(4, "big") + data, 0)[0] == {"k": value}


def test_nesting_without_end_is_refused() -> None:
    data = b""
    for _ in range(200):
        data = b"\x01kF" + len(data).to_bytes(4, "big") + data
    with pytest.raises(CodecError, match="nested"):
        decode_table(len(data).to_bytes(4, "big") + data, 0)


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, when: datetime | None) -> None:
        return None


REFUSED = {
    "too large": 2**63,
    "no type": object(),
    "naive time": datetime(2020, 1, 1),
    "time zone without offset": datetime(2020, 1, 1, tzinfo=Nowhere()),
    "not a number": Decimal("NaN"),
    "infinite": Decimal("-Infinity"),
    "decimal of 40 bits": Decimal(2**40),
    "decimal of 5000 digits": Decimal("1" * 5000),
    "decimal of 5000 places": Decimal("1." + "1" * 5000),
    "decimal whose integer fills the memory": Decimal("1E+99999999"),
    "lone surrogate": "\ud800",
    "name that is no text": {1: 2},
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_no_type_can_hold_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        encode_table({"k": value})


def test_a_table_that_holds_itself_is_refused() -> None:
    table: dict[str, object] = {}
    table["self"] = table
    with pytest.raises(CodecError, match="nested"):
        encode_table(table)


def test_a_short_string_of_more_than_255_octets_or_of_lone_surrogates_is_refused() -> None:
    assert encode_shortstr("ü" * 127 + "a") == b"\xff" + "ü".encode() * 127 + b"a"
    for text in ("ü" * 128, "\ud800"):
        with pytest.raises(CodecError):
            encode_shortstr(text)


@given(st.integers(0, 255), st.integers(-(2**31), 2**31 - 1))
def test_a_decimal_is_exact_whatever_the_callers_decimal_context(scale: int, number: int) -> None:
    data = b"\x01kD" + bytes((scale,)) + number.to_bytes(4, "big", signed=True)
    data = len(data).to_bytes(4, "big") + data
    with decimal.localcontext(decimal.Context(prec=2, Emin=-3, Emax=3, traps=[decimal.Inexact, decimal.Underflow])):
        table, _ = decode_table(data, 0)
        assert encode_table(table) == data
    value = table["k"]
    assert isinstance(value, Decimal) and value.as_tuple().exponent == -scale
    assert int("".join(map(str, value.as_tuple().digits))) == abs(number) and value.is_signed() == (number < 0)


@pytest.mark.parametrize(("value", "written"), [("0E+99", "0"), ("-0", "0"), ("2E+3", "2000"), ("1.50", "1.50")])
def test_a_decimal_with_an_exponent_is_written_as_the_number_it_is(value: str, written: str) -> None:
    assert str(decode_table(encode_table({"k": Decimal(value)}), 0)[0]["k"]) == written
