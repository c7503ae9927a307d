"""The connection machine: two ends joined without a socket, every chunking alike, any bytes harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import ProtocolMisuse
from leveret.wire import events as e
from leveret.wire import machine
from leveret.wire import methods as m
from leveret.wire.addresses import COUNT_MAX as ADDRESSES_MAX
from leveret.wire.connection import Connection
from leveret.wire.frames import header_payload
from leveret.wire.properties import BasicProperties, encode_properties
from leveret.wire.spec import PROTOCOL_HEADER


def pump(client: Connection, server: Connection) -> tuple[list[e.Event], list[e.Event]]:
    """Carry what both have to say across; what the client and the server then saw."""
    to_server = server.receive(client.take())
    to_client = client.receive(server.take())
    return to_client, to_server


def opened(frame_max: int = 131072, channel_max: int = 2047) -> tuple[Connection, Connection]:
    """Both ends after the handshake, with channel 1 open."""
    client, server = Connection(False), Connection(True)
    client.open()
    server.receive(client.take())
    server.send(0, m.ConnectionStart())
    pump(client, server)
    client.send(0, m.ConnectionStartOk())
    pump(client, server)
    server.send(0, m.ConnectionTune())
    pump(client, server)
    client.send(0, m.ConnectionTuneOk())
    client.tune(channel_max, frame_max)
    client.send(0, m.ConnectionOpen())
    server.receive(client.take())
    server.tune(channel_max, frame_max)
    server.send(0, m.ConnectionOpenOk())
    pump(client, server)
    client.send(1, m.ChannelOpen())
    pump(client, server)
    server.send(1, m.ChannelOpenOk())
    pump(client, server)
    return client, server


def told(event: e.Event) -> tuple[object, ...]:
    """An event as a value."""
    return (type(event).__name__, *(getattr(event, name) for name in sorted(NAMES) if hasattr(event, name)))


NAMES = {"channel", "method", "header", "body", "delivery_tag", "multiple", "code", "text", "consumer_tag"}


def failure(server: Connection, data: bytes) -> e.ProtocolFailure:
    event = server.receive(data)[-1]
    assert isinstance(event, e.ProtocolFailure)
    return event


def frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + bytes((end,))


def test_the_handshake_leaves_both_ends_open() -> None:
    client, server = opened()
    assert client.state == server.state == machine.OPEN


def test_a_wrong_protocol_header_is_a_mismatch_and_nothing_more_is_read() -> None:
    server = Connection(True)
    assert isinstance(server.receive(b"GET / HTTP/1.1\r\n")[0], e.HeaderMismatch)
    assert server.receive(PROTOCOL_HEADER) == []


def test_a_protocol_header_may_come_octet_by_octet() -> None:
    server = Connection(True)
    seen = [event for octet in PROTOCOL_HEADER for event in server.receive(bytes((octet,)))]
    assert [type(event) for event in seen] == [e.HeaderReceived]


@pytest.mark.parametrize("size", [0, 1, 4087, 4088, 4089, 20000])
def test_content_of_any_size_arrives_whole_and_delivered_content_too(size: int) -> None:
    client, server = opened(frame_max=4096)
    body = bytes(index % 251 for index in range(size))
    client.send_content(1, m.BasicPublish(exchange="x", routing_key="k", mandatory=True), b"\x10\x00\x02", body)
    (publish,) = server.receive(client.take())
    assert isinstance(publish, e.Publish)
    assert (publish.address.exchange, publish.address.routing_key, publish.address.mandatory) == ("x", "k", True)
    assert publish.body == body and publish.header == header_payload(size, b"\x10\x00\x02")
    server.deliver(1, b"\x01c", 7, True, publish.address.encoded, publish.header, publish.body)
    (delivery,) = client.receive(server.take())
    assert isinstance(delivery, e.Delivery)
    assert (delivery.consumer_tag, delivery.delivery_tag, delivery.redelivered) == ("c", 7, True)
    assert (delivery.address.exchange, delivery.address.routing_key) == ("x", "k")
    assert delivery.body == body and delivery.header == publish.header


def test_frames_are_never_larger_than_agreed() -> None:
    client, _ = opened(frame_max=4096)
    client.send_content(1, m.BasicPublish(), b"\x00\x00", bytes(10000))
    data = client.take()
    while data:
        size = int.from_bytes(data[3:7], "big") + 8
        assert size <= 4096
        data = data[size:]


def conversation() -> bytes:
    client, _ = opened(frame_max=4096)
    client.send(1, m.QueueDeclare(queue="q"))
    client.send_content(1, m.BasicPublish(routing_key="q"), b"\x00\x00", b"one")
    client.ack(1, 5, True)
    client.heartbeat()
    client.send_content(1, m.BasicPublish(routing_key="q"), b"\x00\x00", bytes(9000))
    client.send(1, m.ChannelClose())
    return client.take()


@given(st.lists(st.integers(1, 3000), max_size=30))
def test_any_chunking_gives_the_same_events(sizes: list[int]) -> None:
    data = conversation()
    whole = [told(event) for event in opened(frame_max=4096)[1].receive(data)]
    _, server = opened(frame_max=4096)
    seen, pos = [], 0
    for size in sizes:
        seen += server.receive(data[pos : pos + size])
        pos += size
    if pos < len(data):
        seen += server.receive(data[pos:])
    assert [told(event) for event in seen] == whole and len(whole) == 6


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_give_events_and_never_an_exception(data: bytes, after_opening: bool) -> None:
    server = opened()[1] if after_opening else Connection(True)
    for event in server.receive(data):
        assert isinstance(event, e.Event)


@given(st.data())
def test_a_damaged_conversation_gives_events_and_never_an_exception(data: st.DataObject) -> None:
    sent = bytearray(conversation())
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(0, min(len(sent) - 1, 300)))] = data.draw(st.integers(0, 255))
    for event in opened(frame_max=4096)[1].receive(bytes(sent)):
        assert isinstance(event, e.Event)


@given(st.binary(max_size=300))
def test_a_client_survives_any_bytes_from_its_server(data: bytes) -> None:
    client, _ = opened()
    for event in client.receive(data):
        assert isinstance(event, e.Event)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, 1, b"\x00\x32\x00\x0a", end=0), 501),
        (b"\x01\x00\x01\x7f\xff\xff\xff", 501),
        (frame(9, 1, b""), 501),
        (frame(8, 1, b""), 505),
        (frame(1, 7, m.encode_method(m.QueueDeclare())), 504),
        (frame(3, 7, b"x"), 505),
        (frame(1, 1, m.encode_method(m.ChannelOpen())), 504),
        (frame(2, 1, header_payload(3, b"\x00\x00")), 505),
        (frame(3, 1, b"abc"), 505),
        (frame(2, 0, header_payload(3, b"\x00\x00")), 505),
        (frame(1, 1, b"\x00\x3c\x00\xff"), 503),
        (frame(1, 1, b"\x00\x32"), 501),
        (frame(1, 1, m.encode_method(m.QueueDeclareOk())), 503),
        (frame(1, 0, m.encode_method(m.QueueDeclare())), 504),
        (frame(1, 1, m.encode_method(m.QueueDeclare(queue="q"))[:-6]), 501),
        (frame(1, 1, m.encode_method(m.BasicPublish())) + frame(1, 1, m.encode_method(m.BasicPublish())), 505),
        (frame(1, 1, m.encode_method(m.BasicPublish())) + frame(2, 1, b"\x00\x3c"), 501),
        (frame(1, 1, m.encode_method(m.BasicPublish())) + frame(2, 1, header_payload(1, b"\x00\x00")) + frame(3, 1, b"ab"), 505),
    ],
)  # fmt: skip
def test_a_broken_rule_has_its_reply_code(data: bytes, code: int) -> None:
    assert failure(opened()[1], data).code == code


def test_after_a_failure_only_close_ok_is_heard() -> None:
    client, server = opened()
    failure(server, frame(9, 1, b""))
    server.send(0, m.ConnectionClose(reply_code=501))
    client.receive(server.take())
    client.send(1, m.QueueDeclare())
    client.send(0, m.ConnectionCloseOk())
    assert [told(event)[0] for event in server.receive(client.take())] == ["MethodReceived"]
    assert server.state == machine.CLOSED


def test_a_channel_above_the_maximum_is_refused() -> None:
    _, server = opened(channel_max=1)
    event = failure(server, frame(1, 2, m.encode_method(m.ChannelOpen())))
    assert (event.code, event.text) == (
        530,
        "NOT_ALLOWED - number of channels opened (1) has reached the negotiated channel_max (1)",
    )


def test_content_above_the_limit_ends_the_channel_only() -> None:
    _, server = opened()
    header = header_payload(134_217_729, b"\x00\x00")
    event = server.receive(frame(1, 1, m.encode_method(m.BasicPublish())) + frame(2, 1, header))[-1]
    assert isinstance(event, e.ChannelFailure) and event.code == 406


def test_what_follows_content_above_the_limit_is_dropped_until_the_channel_is_closed() -> None:
    """Whether it comes in the same octets or later: the rest of that content, and more of it."""
    client, server = opened()
    publish, body = frame(1, 1, m.encode_method(m.BasicPublish())), frame(3, 1, b"x" * 1000)
    large = publish + frame(2, 1, header_payload(134_217_729, b"\x00\x00")) + body
    events = server.receive(large + body + publish + frame(2, 1, header_payload(1, b"\x00\x00")) + frame(3, 1, b"y"))
    assert [type(event) for event in events] == [e.ChannelFailure]
    server.send(1, m.ChannelClose(reply_code=406))
    assert server.receive(body + large) == []
    client.receive(server.take())
    client.send(1, m.ChannelCloseOk())
    server.receive(client.take())
    client.send(1, m.ChannelOpen())
    assert isinstance(server.receive(client.take())[0], e.MethodReceived)


def test_on_a_closing_channel_everything_but_the_end_is_dropped_and_the_number_can_be_used_again() -> None:
    client, server = opened()
    client.send_content(1, m.BasicPublish(), b"\x00\x00", b"abc")
    late = client.take()
    server.send(1, m.ChannelClose(reply_code=406))
    assert server.receive(late) == []
    client.receive(server.take())
    client.send(1, m.ChannelCloseOk())
    server.receive(client.take())
    client.send(1, m.ChannelOpen())
    assert isinstance(server.receive(client.take())[0], e.MethodReceived)


def test_routing_keys_without_end_are_not_all_remembered() -> None:
    client, server = opened()
    for number in range(2 * ADDRESSES_MAX):
        client.send_content(1, m.BasicPublish(routing_key=str(number)), b"\x00\x00", b"")
    assert len(server.receive(client.take())) == 2 * ADDRESSES_MAX
    assert len(server.addresses.known) <= ADDRESSES_MAX


@pytest.mark.parametrize("method", [m.ConnectionOpenOk(), m.ConnectionTune(), m.ConnectionStart()])
def test_an_illegal_move_of_our_own_is_refused_and_not_sent(method: m.Method) -> None:
    _, server = opened()
    with pytest.raises(ProtocolMisuse):
        server.send(0, method)
    assert server.take() == b""


def test_a_channel_that_is_not_open_cannot_be_sent_on() -> None:
    client, _ = opened()
    with pytest.raises(ProtocolMisuse):
        client.send(9, m.QueueDeclare())


def test_close_ok_after_a_failure_is_found_however_it_is_cut() -> None:
    close_ok = frame(1, 0, m.encode_method(m.ConnectionCloseOk()))
    data = frame(9, 1, b"") + b"\x01\x00" + close_ok
    whole = [told(event) for event in opened()[1].receive(data)]
    _, server = opened()
    assert [told(event) for octet in data for event in server.receive(bytes((octet,)))] == whole
    assert [kind for kind, *_ in whole] == ["ProtocolFailure", "MethodReceived"]


def test_what_came_before_a_channels_close_is_still_answered() -> None:
    client, server = opened()
    client.send(1, m.QueueDeclare(queue="q"))
    client.send(1, m.ChannelClose())
    assert [told(event)[0] for event in server.receive(client.take())] == ["MethodReceived"] * 2
    server.send(1, m.QueueDeclareOk(queue="q"))
    server.send(1, m.ChannelCloseOk())
    assert len(client.receive(server.take())) == 1  # on its closing channel the client drops what is not the end


def test_a_second_close_of_the_connection_is_not_reported() -> None:
    _, server = opened()
    close = frame(1, 0, m.encode_method(m.ConnectionClose()))
    assert len(server.receive(close + close)) == 1


def test_names_of_delivered_content_may_be_any_octets() -> None:
    client, server = opened()
    key = b"\xff\xfe".decode("utf-8", "surrogateescape")
    server.send_content(1, m.BasicGetOk(routing_key=key), b"\x00\x00", b"")
    (content,) = client.receive(server.take())
    assert isinstance(content, e.Content) and content.method == m.BasicGetOk(routing_key=key)


def test_properties_too_large_for_a_frame_are_refused_where_they_are_sent() -> None:
    client, server = opened()
    client.tune(0, 4096)
    large = encode_properties(BasicProperties(headers={"x": "y" * 5000}))
    with pytest.raises(ProtocolMisuse, match="fewer or shorter"):
        client.send_content(1, m.BasicPublish(), large, b"body")
    assert client.take() == b"" and server.receive(b"") == []
