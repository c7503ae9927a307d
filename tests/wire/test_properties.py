"""Properties: any round-trip, the scan sees the same, pika agrees on the octets, damage gives CodecError."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pika.spec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import CodecError
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties
from leveret.wire.scan import scan

texts = st.none() | st.text(max_size=30)
octets = st.none() | st.integers(0, 255)
times = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=0)
)
any_properties = st.builds(
    BasicProperties,
    content_type=texts,
    content_encoding=texts,
    headers=st.none() | st.dictionaries(st.text(max_size=10), st.integers(-5, 5), max_size=3),
    delivery_mode=octets,
    priority=octets,
    correlation_id=texts,
    reply_to=texts,
    expiration=texts,
    message_id=texts,
    timestamp=st.none() | times,
    type=texts,
    user_id=texts,
    app_id=texts,
    cluster_id=texts,
)
NAMES = tuple(BasicProperties.__struct_fields__)


def seconds(value: object) -> object:
    """pika's timestamps are seconds."""
    return int(value.timestamp()) if isinstance(value, datetime) else value


@given(any_properties)
def test_any_properties_round_trip_and_scan_sees_the_same(properties: BasicProperties) -> None:
    encoded = encode_properties(properties)
    assert decode_properties(bytes(12) + encoded, 12) == decode_properties(encoded) == properties
    seen = scan(bytes(12) + encoded)
    assert seen.delivery_mode == (properties.delivery_mode or 0)
    assert seen.priority == (properties.priority or 0)
    assert seen.expiration == (properties.expiration or "")
    assert seen.user_id == (properties.user_id or "")
    assert bool(seen.headers_at) == (properties.headers is not None)


@given(any_properties)
def test_pika_writes_and_reads_any_properties_alike(ours: BasicProperties) -> None:
    values = {name: seconds(getattr(ours, name)) for name in NAMES}
    assert b"".join(pika.spec.BasicProperties(**values).encode()) == encode_properties(ours)
    theirs = pika.spec.BasicProperties()
    theirs.decode(encode_properties(ours))
    assert {name: getattr(theirs, name) for name in NAMES} == values


@given(st.binary(max_size=100))
def test_any_bytes_give_properties_or_a_codec_error(data: bytes) -> None:
    for read in (lambda: decode_properties(data), lambda: scan(data)):
        with contextlib.suppress(CodecError):
            read()


@given(any_properties, st.data())
def test_properties_cut_short_are_a_codec_error(properties: BasicProperties, data: st.DataObject) -> None:
    encoded = encode_properties(properties)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    for read in (lambda: decode_properties(cut), lambda: scan(bytes(12) + cut)):
        with pytest.raises(CodecError):
            read()


def test_a_second_flags_word_is_skipped() -> None:
    data = b"\x80\x01\x00\x00\x01x"
    assert decode_properties(data) == BasicProperties(content_type="x")
    with pytest.raises(CodecError):
        decode_properties(b"\x80\x01")


def test_the_scan_finds_the_headers_table() -> None:
    header = bytes(12) + encode_properties(BasicProperties(content_type="text", headers={"a": 1}))
    at = scan(header).headers_at
    assert header[at:] == b"\x00\x00\x00\x07\x01aI\x00\x00\x00\x01"


def test_a_timestamp_no_calendar_reaches_stays_a_number() -> None:
    properties = BasicProperties(timestamp=2**64 - 1)
    assert decode_properties(encode_properties(properties)) == properties


@pytest.mark.parametrize(
    "properties",
    [
        BasicProperties(priority=256),
        BasicProperties(delivery_mode=-1),
        BasicProperties(timestamp=-1),
        BasicProperties(timestamp=2**64),
        BasicProperties(timestamp=datetime(2020, 1, 1)),
        BasicProperties(timestamp=datetime(1969, 1, 1, tzinfo=UTC)),
        BasicProperties(expiration="1" * 256),
        BasicProperties(type="\ud800"),
        BasicProperties(headers={"k": object()}),
    ],
)
def test_what_does_not_fit_is_refused(properties: BasicProperties) -> None:
    with pytest.raises(CodecError):
        encode_properties(properties)
