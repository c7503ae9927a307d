"""Broken and hostile input on raw sockets: what the broker answers, and that only the sender is harmed.

AMQP 0-9-1 sections 2.2.4 (connection), 2.3.7 (errors), 4.2 (frames), and class connection and channel for the codes;
where the codes leave a choice, a real RabbitMQ settles it.
"""

from __future__ import annotations

import struct

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from conformance import wire
from conformance.wire import (
    BODY,
    CONTENT_HEADER,
    HEADER,
    HEARTBEAT,
    METHOD,
    Wire,
    content_header,
    frame,
    long,
    method,
    short,
)

DECLARE = b"\x00\x00" + short("") + b"\x04" + long(b"")
FRAME_MAX = 131_072


@pytest.mark.parametrize(
    "hello", [b"GET / HTTP/1.1\r\n\r\n", b"XXXXXXXX", b"AMQP\x00\x00\x09\x02", b"AMQP\x00\x00\x08\x00"], ids=repr
)
def test_a_wrong_protocol_header_is_answered_with_the_right_one(broker: Broker, hello: bytes) -> None:
    with Wire(broker.port) as client:
        client.send(hello)
        assert client.read(100) == HEADER


NOT_WELL_FORMED: dict[str, tuple[int, bytes]] = {
    "frame-end missing": (501, frame(METHOD, 1, b"\x00\x32\x00\x0a", end=b"\x00")),
    "frame-end of a heartbeat missing": (501, frame(HEARTBEAT, 0, b"", end=b"\x00")),
    "frame larger than frame_max": (501, struct.pack(">BHI", METHOD, 1, FRAME_MAX + 1)),
    "frame of 2 GiB": (501, struct.pack(">BHI", BODY, 1, 2**31)),
    "frame type 4": (501, frame(4, 1, b"x")),
    "frame type 9": (501, frame(9, 1, b"x")),
    "heartbeat on a channel": (505, frame(HEARTBEAT, 1, b"")),
    "heartbeat with a payload": (501, frame(HEARTBEAT, 0, b"abc")),
    "method frame without a method": (501, frame(METHOD, 1, b"")),
    "method frame with half a number": (501, frame(METHOD, 1, b"\x00")),
    "arguments cut short": (501, method(1, wire.QUEUE_DECLARE, b"\x00\x00")),
    "table longer than the frame": (
        501,
        method(1, wire.QUEUE_DECLARE, b"\x00\x00" + short("q") + b"\x00" + struct.pack(">I", 100) + b"a"),
    ),
    "more than the arguments": (
        501,
        method(1, wire.CHANNEL_CLOSE, struct.pack(">H", 200) + short("") + b"\x00\x00\x00\x00junk"),
    ),
    "name that is not UTF-8": (501, method(1, wire.QUEUE_DECLARE, b"\x00\x00\x02\xff\xfe\x00" + long(b""))),
    "content header cut short": (501, wire.publish("q") + frame(CONTENT_HEADER, 1, b"\x00\x3c\x00\x00")),
    "more than the arguments of a publish": (501, method(1, wire.BASIC_PUBLISH, b"\x00\x00\x00\x01q\x00junk")),
    "content header on channel 0": (505, content_header(1, channel=0)),
    "body on channel 0": (505, frame(BODY, 0, b"x")),
}


@pytest.mark.parametrize(("code", "data"), NOT_WELL_FORMED.values(), ids=NOT_WELL_FORMED.keys())
def test_a_malformed_frame_ends_the_connection(broker: Broker, code: int, data: bytes) -> None:
    """Only the code is fixed: RabbitMQ's texts are dumps of Erlang terms."""
    with Wire(broker.port) as client:
        client.open().open_channel().send(data)
        assert client.expect(wire.CLOSE).reply[0] == code


UNEXPECTED = "UNEXPECTED_FRAME - expected "
NO_HEADER = UNEXPECTED + "content header for class 60, got non content header frame instead"
NO_BODY = UNEXPECTED + "content body, got non content body frame instead"
NO_METHOD = UNEXPECTED + "method frame, got non method frame instead"
RUNNING = "CHANNEL_ERROR - unexpected method in connection state running"
UNIMPLEMENTED = "COMMAND_INVALID - unimplemented method"

OUT_OF_TURN: dict[str, tuple[int, str, bytes]] = {
    "content header without a method": (505, NO_METHOD, content_header(1)),
    "body without a method": (505, NO_METHOD, frame(BODY, 1, b"x")),
    "content header on an unopened channel": (505, NO_METHOD, content_header(1, channel=7)),
    "method instead of the header": (505, NO_HEADER, wire.publish("q") + method(1, wire.QUEUE_DECLARE, DECLARE)),
    "body instead of the header": (505, NO_HEADER, wire.publish("q") + frame(BODY, 1, b"x")),
    "header of another class": (
        505,
        UNEXPECTED + "content header for class 60, got one for class 50 instead",
        wire.publish("q") + content_header(5, class_id=50),
    ),
    "method instead of the body": (
        505,
        NO_BODY,
        wire.publish("q") + content_header(5) + method(1, wire.QUEUE_DECLARE, DECLARE),
    ),
    "header twice": (505, NO_BODY, wire.publish("q") + content_header(5) + content_header(5)),
    "header with a weight": (505, NO_HEADER, wire.publish("q") + content_header(5, weight=1)),
    "more body than announced": (
        505,
        NO_BODY,
        wire.publish("q") + content_header(3) + frame(BODY, 1, b"abcd") + method(1, wire.QUEUE_DECLARE, DECLARE),
    ),
    "body after an empty message": (505, NO_METHOD, wire.publish("q") + content_header(0) + frame(BODY, 1, b"")),
    "method on an unopened channel": (
        504,
        "CHANNEL_ERROR - expected 'channel.open'",
        method(7, wire.QUEUE_DECLARE, DECLARE),
    ),
    "channel opened twice": (
        504,
        "CHANNEL_ERROR - second 'channel.open' seen",
        method(1, wire.CHANNEL_OPEN, short("")),
    ),
    "channel 0 opened": (504, RUNNING, method(0, wire.CHANNEL_OPEN, short(""))),
    "queue.declare on channel 0": (504, RUNNING, method(0, wire.QUEUE_DECLARE, DECLARE)),
    "connection opened twice": (504, RUNNING, method(0, wire.OPEN, short("/") + b"\x00\x00")),
    "connection.close-ok unasked": (504, RUNNING, method(0, wire.CLOSE_OK)),
    "connection.open on a channel": (503, UNIMPLEMENTED, method(1, wire.OPEN, short("/") + b"\x00\x00")),
    "channel.close-ok unasked": (503, UNIMPLEMENTED, method(1, wire.CHANNEL_CLOSE_OK)),
    "channel.flow-ok unasked": (503, UNIMPLEMENTED, method(1, (20, 21), b"\x01")),
    "a method only servers send": (503, UNIMPLEMENTED, method(1, wire.QUEUE_DECLARE_OK, short("q") + bytes(8))),
}


@pytest.mark.parametrize(("code", "text", "data"), OUT_OF_TURN.values(), ids=OUT_OF_TURN.keys())
def test_a_frame_out_of_turn_ends_the_connection(broker: Broker, code: int, text: str, data: bytes) -> None:
    with Wire(broker.port) as client:
        client.open().open_channel().send(data)
        assert client.closed_with() == (code, text)


HEADERS = 0x2000
UNREADABLE: dict[str, tuple[int, bytes]] = {
    "a property missing": (0x8000, b""),
    "a property cut short": (0x8000, b"\x05ab"),
    "octets behind the properties": (0, b"junk"),
    "a table longer than the header": (HEADERS, struct.pack(">I", 10) + b"\x01at\x01"),
    "a table whose last field is cut short": (HEADERS, long(b"\x01aI\x00")),
    "a field of unknown type": (HEADERS, long(b"\x01aZ1")),
    "a field without a value": (HEADERS, long(b"\x01a")),
    "a name longer than the table": (HEADERS, long(b"\x09a")),
    "a nested table that is cut short": (HEADERS, long(b"\x01aF" + struct.pack(">I", 9) + b"\x01bt\x01")),
    "an array of an unknown type": (HEADERS, long(b"\x01aA" + long(b"Q"))),
}


@pytest.mark.parametrize(("flags", "properties"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_properties_that_nobody_could_read_end_the_connection(
    broker: Broker, channel: BlockingChannel, name: str, flags: int, properties: bytes
) -> None:
    """They must not reach a consumer. RabbitMQ 3.10 calls it 541 INTERNAL_ERROR, AMQP has 502 for it."""
    channel.queue_declare(name)
    with Wire(broker.port) as client:
        client.open().open_channel()
        client.send(wire.publish(name), content_header(1, flags=flags, properties=properties), frame(BODY, 1, b"x"))
        assert client.expect(wire.CLOSE).reply[0] in (502, 541)
    assert channel.basic_get(name)[0] is None


@pytest.mark.parametrize("which", [(99, 10), (60, 999)], ids=["class 99", "basic.999"])
def test_an_unknown_method_ends_the_connection(broker: Broker, which: tuple[int, int]) -> None:
    """RabbitMQ 3.10 cuts the stream without a word; a broker that says why uses 503 or 540."""
    with Wire(broker.port) as client:
        client.open().open_channel().send(method(1, which))
        answer = client.next()
        assert answer is None or answer.reply[0] in (503, 540)


def test_a_frame_above_the_clients_own_lower_frame_max_is_refused(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open(frame_max=4096).open_channel().send(struct.pack(">BHI", BODY, 1, 4096 + 1))
        assert client.expect(wire.CLOSE).reply[0] == 501


def test_a_channel_before_the_connection_is_open_is_505(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.greet()
        client.agree()
        client.send(method(1, wire.CHANNEL_OPEN, short("")))
        assert client.expect(wire.CLOSE).reply[0] == 505


def test_a_wrong_password_is_explained_to_clients_that_can_take_it(broker: Broker) -> None:
    text = (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
    )
    with Wire(broker.port) as client:
        client.greet(password="wrong", properties=wire.capability("authentication_failure_close"))
        assert client.closed_with() == (403, text)


def test_an_unknown_vhost_is_530(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.greet()
        client.agree()
        client.enter("nope")
        assert client.closed_with() == (530, "NOT_ALLOWED - vhost nope not found")


def test_more_channels_than_negotiated_is_530(broker: Broker) -> None:
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    with Wire(broker.port) as client:
        client.open(channel_max=2).open_channel(1).open_channel(2)
        client.send(method(3, wire.CHANNEL_OPEN, short("")))
        assert client.closed_with() == (530, text)


def test_what_comes_after_connection_close_is_ignored_but_close_ok(broker: Broker, name: str) -> None:
    with Wire(broker.port) as client:
        client.open().open_channel().send(method(7, wire.QUEUE_DECLARE, DECLARE))
        client.expect(wire.CLOSE)
        client.send(method(1, wire.QUEUE_DECLARE, b"\x00\x00" + short(name) + b"\x00" + long(b"")))
        client.send(method(1, wire.CHANNEL_OPEN, short("")), frame(HEARTBEAT, 0, b""), method(0, wire.CLOSE_OK))
        assert client.next() is None
    with Wire(broker.port) as client:
        client.open().open_channel()
        client.send(method(1, wire.QUEUE_DECLARE, b"\x00\x00" + short(name) + b"\x01" + long(b"")))
        assert client.expect(wire.CHANNEL_CLOSE).reply[0] == 404


def test_frames_on_a_closing_channel_are_ignored_and_its_number_used_again(broker: Broker, name: str) -> None:
    passive = b"\x00\x00" + short(name) + b"\x01" + long(b"")
    late_ack = method(1, wire.BASIC_ACK, struct.pack(">QB", 99, 0))
    with Wire(broker.port) as client:
        client.open().open_channel()
        client.send(method(1, wire.QUEUE_DECLARE, passive), late_ack, wire.publish(name), content_header(1))
        client.send(frame(BODY, 1, b"x"), late_ack)
        assert client.expect(wire.CHANNEL_CLOSE).reply[0] == 404
        client.send(late_ack, method(1, wire.CHANNEL_CLOSE_OK))
        assert client.open_channel(1).declare(name).arguments[-8:] == bytes(8)


def test_bad_input_harms_only_its_sender(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    for _, data in NOT_WELL_FORMED.values():
        with Wire(broker.port) as client:
            client.open().open_channel().send(data)
            client.expect(wire.CLOSE)
    with Wire(broker.port) as client:
        client.open().open_channel().send(wire.publish(name), content_header(10), frame(BODY, 1, b"half"))
    channel.basic_publish("", name, b"x")
    assert channel.basic_get(name)[2] == b"x"


def test_a_refusal_names_the_method_that_was_refused(broker: Broker, name: str) -> None:
    """AMQP 0-9-1, channel.close and connection.close: class and method of what failed, 0 and 0 if it was none."""
    with Wire(broker.port) as client:
        client.open().open_channel()
        client.send(method(1, wire.QUEUE_DECLARE, b"\x00\x00" + short(name) + b"\x01" + long(b"")))
        assert client.expect(wire.CHANNEL_CLOSE).arguments[-4:] == struct.pack(">HH", *wire.QUEUE_DECLARE)
        client.send(method(1, wire.CHANNEL_CLOSE_OK))
        client.open_channel().send(method(1, wire.BASIC_ACK, struct.pack(">QB", 9, 0)))
        assert client.expect(wire.CHANNEL_CLOSE).arguments[-4:] == struct.pack(">HH", *wire.BASIC_ACK)
        client.send(method(1, wire.CHANNEL_CLOSE_OK))
        client.open_channel().send(frame(9, 1, b""))
        assert client.expect(wire.CLOSE).arguments[-4:] == bytes(4)
