"""Methods and properties: every one round-trips, pika agrees on the bytes, damage gives CodecError."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import pika.spec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import CodecError
from leveret.wire import methods
from leveret.wire.methods import METHODS, Method, UnknownMethod, decode_method, encode_method
from leveret.wire.properties import BasicProperties, decode_properties, encode_properties
from leveret.wire.scan import scan

EVERY = list(METHODS.values())
KINDS = {
    "Octet": st.integers(0, 255),
    "Short": st.integers(0, 2**16 - 1),
    "Long": st.integers(0, 2**32 - 1),
    "LongLong": st.integers(0, 2**64 - 1),
    "Bit": st.booleans(),
    "ShortStr": st.text(max_size=40),
    "LongStr": st.binary(max_size=300),
    "Table": st.dictionaries(st.text(max_size=10), st.integers(-5, 5), max_size=3),
}


def any_method(cls: type[Method]) -> st.SearchStrategy[Method]:
    return st.builds(cls, **{item.name: KINDS[str(item.type)] for item in fields(cls)})


@given(st.sampled_from(EVERY).flatmap(any_method))
def test_any_method_round_trips(method: Method) -> None:
    assert decode_method(encode_method(method)) == method


@given(st.sampled_from(EVERY).flatmap(any_method), st.data())
def test_a_method_cut_short_is_a_codec_error(method: Method, data: st.DataObject) -> None:
    payload = encode_method(method)
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(CodecError):
        decode_method(payload[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_give_a_method_or_a_codec_error(data: bytes) -> None:
    try:
        assert isinstance(decode_method(data), Method)
    except CodecError:
        pass


def test_an_unknown_method_says_which() -> None:
    with pytest.raises(UnknownMethod) as caught:
        decode_method(b"\x00\x3c\x00\xff")
    assert (caught.value.class_id, caught.value.method_id) == (60, 255)


def test_all_methods_of_the_specification_are_there() -> None:
    ours = {cls.class_id << 16 | cls.method_id for cls in EVERY}
    assert ours >= {index for index in pika.spec.methods if index >> 16 != 110}


PAIRS = [
    (methods.QueueDeclare(queue="q", durable=True, no_wait=True, arguments={"x": 1}),
     pika.spec.Queue.Declare(queue="q", durable=True, nowait=True, arguments={"x": 1})),
    (methods.BasicConsume(queue="q", consumer_tag="c", no_ack=True, exclusive=True),
     pika.spec.Basic.Consume(queue="q", consumer_tag="c", no_ack=True, exclusive=True)),
    (methods.BasicNack(delivery_tag=2**40, multiple=True, requeue=False),
     pika.spec.Basic.Nack(delivery_tag=2**40, multiple=True, requeue=False)),
    (methods.ConnectionTuneOk(channel_max=5, frame_max=131072, heartbeat=60),
     pika.spec.Connection.TuneOk(channel_max=5, frame_max=131072, heartbeat=60)),
    (methods.ExchangeBind(destination="d", source="s", routing_key="k"),
     pika.spec.Exchange.Bind(destination="d", source="s", routing_key="k")),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[type(ours).__name__ for ours, _ in PAIRS])
def test_pika_writes_the_same_bytes(ours: Method, theirs: pika.amqp_object.Method) -> None:
    assert encode_method(ours)[4:] == b"".join(theirs.encode())


texts = st.none() | st.text(max_size=30)
any_properties = st.builds(
    BasicProperties,
    content_type=texts, content_encoding=texts, correlation_id=texts, reply_to=texts, expiration=texts,
    message_id=texts, type=texts, user_id=texts, app_id=texts, cluster_id=texts,
    headers=st.none() | KINDS["Table"],
    delivery_mode=st.none() | st.integers(0, 255),
    priority=st.none() | st.integers(0, 255),
    timestamp=st.none() | st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0)),
)  # fmt: skip


@given(any_properties)
def test_any_properties_round_trip_and_scan_sees_the_same(properties: BasicProperties) -> None:
    encoded = encode_properties(properties)
    assert decode_properties(encoded) == properties
    seen = scan(bytes(12) + encoded)
    assert seen.delivery_mode == (properties.delivery_mode or 0)
    assert seen.priority == (properties.priority or 0)
    assert seen.expiration == (properties.expiration or "")
    assert seen.user_id == (properties.user_id or "")
    assert bool(seen.headers_at) == (properties.headers is not None)


@given(st.binary(max_size=100))
def test_any_bytes_give_properties_or_a_codec_error(data: bytes) -> None:
    for read in (lambda: decode_properties(data), lambda: scan(data)):
        try:
            read()
        except CodecError:
            pass


def test_pika_reads_our_properties() -> None:
    ours = BasicProperties(content_type="text/plain", headers={"a": 1}, delivery_mode=2, expiration="10")
    theirs = pika.spec.BasicProperties()
    theirs.decode(encode_properties(ours))
    assert (theirs.content_type, theirs.headers, theirs.delivery_mode, theirs.expiration) == (
        "text/plain",
        {"a": 1},
        2,
        "10",
    )
    assert replace(ours, headers=None) != ours
