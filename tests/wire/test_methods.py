"""Methods: every one round-trips, pika reads and writes the same octets, damage gives CodecError."""

from __future__ import annotations

import contextlib

import pika.spec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import CodecError
from leveret.wire import methods
from leveret.wire.methods import METHODS, Method, UnknownMethod, decode_method, encode_method

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
    return st.builds(cls, **{name: KINDS[cls.__annotations__[name]] for name in cls.__struct_fields__})


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
    with contextlib.suppress(CodecError):
        assert isinstance(decode_method(data), Method)


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


def used(cls: type[Method]) -> st.SearchStrategy[Method]:
    """Methods of the class as peers send them: reserved fields stay empty."""
    named = [name for name in cls.__struct_fields__ if not name.startswith("reserved")]
    return st.builds(cls, **{name: KINDS[cls.__annotations__[name]] for name in named})


def plain(value: object) -> object:
    """pika gives long strings as text where they are."""
    return value.encode() if isinstance(value, str) else value


@given(st.sampled_from(EVERY).flatmap(used))
def test_pika_writes_and_reads_every_method_alike(ours: Method) -> None:
    values = [getattr(ours, name) for name in ours.__struct_fields__]
    kind = pika.spec.methods[ours.class_id << 16 | ours.method_id]
    theirs, read = kind(*values), kind(*([None] * len(values)))
    assert encode_method(ours)[4:] == b"".join(theirs.encode())
    if kind is pika.spec.Connection.UpdateSecret:
        return  # pika 1.3 reads the secret into an attribute of connection.start
    read.decode(encode_method(ours)[4:])
    assert list(map(plain, vars(read).values())) == list(map(plain, values))


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.name)
def test_pika_knows_the_same_methods_as_synchronous_and_content_bearing(cls: type[Method]) -> None:
    theirs = pika.spec.methods[cls.class_id << 16 | cls.method_id]
    assert cls.synchronous == theirs(*([None] * len(cls.__struct_fields__))).synchronous
    assert cls.has_content == pika.spec.has_content(theirs.INDEX)


@pytest.mark.parametrize(
    "method",
    [
        methods.QueueDeclare(queue="\ud800"),
        methods.QueueDeclare(queue="q" * 256),
        methods.QueueDeclare(arguments={"k": "\ud800"}),
        methods.ConnectionTune(channel_max=-1),
        methods.ConnectionTune(channel_max=2**16),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_a_codec_error(method: Method) -> None:
    with pytest.raises(CodecError):
        encode_method(method)
