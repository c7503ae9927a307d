"""Frames as they should be, on raw sockets: splitting, interleaving, heartbeats, limits, what pika does not show.

AMQP 0-9-1 sections 4.2.3 (frames), 4.2.6 (content), 4.2.7 (heartbeats), 1.4.2.4 and 1.4.2.5 (tune);
rabbitmq.com/docs/heartbeats, docs/connections and docs/channels (limits).
"""

from __future__ import annotations

import struct

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from conformance import wire
from conformance.wire import BODY, CONTENT_HEADER, HEARTBEAT, Wire, content_header, frame, long, method, short

DECLARE = b"\x00\x00" + short("") + b"\x04" + long(b"")


def test_a_frame_of_exactly_frame_max_is_accepted(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open(frame_max=4096).open_channel()
        client.send(wire.publish("nowhere"), content_header(4096 - 8), frame(BODY, 1, bytes(4096 - 8)))
        client.send(method(1, wire.QUEUE_DECLARE, DECLARE))
        client.expect(wire.QUEUE_DECLARE_OK)


def test_empty_body_frames_between_are_harmless(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    with Wire(broker.port) as client:
        client.open().open_channel()
        parts = [frame(BODY, 1, part) for part in (b"", b"a", b"", b"b")]
        client.send(wire.publish(name), content_header(2), *parts)
        client.send(method(1, wire.QUEUE_DECLARE, DECLARE))
        client.expect(wire.QUEUE_DECLARE_OK)
        assert channel.basic_get(name)[2] == b"ab"


def test_bytes_may_arrive_one_by_one(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    data = wire.publish(name) + content_header(3) + frame(BODY, 1, b"abc") + method(1, wire.QUEUE_DECLARE, DECLARE)
    with Wire(broker.port) as client:
        client.open().open_channel()
        for position in range(len(data)):
            client.send(data[position : position + 1])
        client.expect(wire.QUEUE_DECLARE_OK)
        assert channel.basic_get(name)[2] == b"abc"


def test_contents_of_two_channels_may_be_interleaved(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    with Wire(broker.port) as client:
        client.open().open_channel(1).open_channel(2)
        for step in (wire.publish(name, 1) + wire.publish(name, 2), content_header(2, 1) + content_header(2, 2)):
            client.send(step)
        client.send(frame(BODY, 1, b"a"), frame(BODY, 2, b"bb"), frame(HEARTBEAT, 0, b""), frame(BODY, 1, b"a"))
        for number in (1, 2):
            client.send(method(number, wire.QUEUE_DECLARE, DECLARE))
            client.expect(wire.QUEUE_DECLARE_OK)
        assert sorted(channel.basic_get(name)[2] for _ in range(2)) == [b"aa", b"bb"]


def test_a_heartbeat_is_taken_and_not_answered(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open().open_channel().send(frame(HEARTBEAT, 0, b""), method(1, wire.QUEUE_DECLARE, DECLARE))
        answer = client.next()
        assert answer is not None and answer.method == wire.QUEUE_DECLARE_OK


def test_a_silent_client_hears_heartbeats_and_is_cut_off(broker: Broker, name: str) -> None:
    """The end comes after two intervals without a sign of life. Any traffic is one, as of the other client here."""
    with Wire(broker.port) as client, Wire(broker.port) as busy:
        client.open(heartbeat_s=1)
        busy.open(heartbeat_s=1).open_channel()
        heard = []
        while (found := client.next()) is not None and found.kind == HEARTBEAT:
            heard.append(found)
            busy.declare(name)
        assert len(heard) >= 2 and all((beat.channel, beat.payload) == (0, b"") for beat in heard)
        busy.declare(name)


@pytest.mark.parametrize("tune", [{"frame_max": 4096}, {"channel_max": 1}, {"heartbeat_s": 0}, {"heartbeat_s": 600}])
def test_lower_tune_values_are_accepted(broker: Broker, tune: dict[str, int]) -> None:
    with Wire(broker.port) as client:
        client.open(**tune).open_channel()


def test_the_broker_proposes_its_limits(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open()
        assert struct.unpack(">HIH", client.tune) == (2047, 131_072, 60)


def test_only_the_number_of_open_channels_is_limited(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open(channel_max=2).open_channel(1).open_channel(65535)
        client.send(method(1, wire.CHANNEL_CLOSE, struct.pack(">H", 200) + short("") + bytes(4)))
        client.expect(wire.CHANNEL_CLOSE_OK)
        client.open_channel(7)


def test_cr_and_lf_are_stripped_from_queue_names(broker: Broker, name: str) -> None:
    with Wire(broker.port) as client:
        declared = client.open().open_channel().declare(f"{name}\r\n")
        assert declared.arguments[: len(name) + 1] == short(name)


def test_connection_close_is_answered(broker: Broker) -> None:
    with Wire(broker.port) as client:
        client.open().send(method(0, wire.CLOSE, struct.pack(">H", 200) + short("bye") + bytes(4)))
        client.expect(wire.CLOSE_OK)


def test_an_empty_body_has_no_body_frame(broker: Broker, channel: BlockingChannel, name: str) -> None:
    """AMQP 0-9-1 section 4.2.6.2, both ways: the header frame is the end of it."""
    channel.queue_declare(name)
    with Wire(broker.port) as client:
        client.open().open_channel()
        consume = b"\x00\x00" + short(name) + short("tag") + b"\x02" + long(b"")
        client.send(method(1, wire.BASIC_CONSUME, consume))
        client.expect(wire.BASIC_CONSUME_OK)
        for _ in range(2):
            client.send(wire.publish(name), content_header(0))
        for _ in range(2):
            client.expect(wire.BASIC_DELIVER)
            header = client.next()
            assert header is not None and (header.kind, header.payload[4:12]) == (CONTENT_HEADER, bytes(8))


def test_a_body_is_split_at_the_receivers_frame_max(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name)
    with Wire(broker.port) as client:
        client.open(frame_max=4096).open_channel()
        client.send(method(1, wire.BASIC_CONSUME, b"\x00\x00" + short(name) + short("tag") + b"\x02" + long(b"")))
        client.expect(wire.BASIC_CONSUME_OK)
        channel.basic_publish("", name, bytes(10_000))
        client.expect(wire.BASIC_DELIVER)
        frames = [client.next() for _ in range(4)]
        assert [len(part.payload) for part in frames[1:] if part is not None] == [4088, 4088, 1824]


def test_access_request_is_granted(broker: Broker) -> None:
    """A method of AMQP 0-8 that old clients still send before anything else; the ticket means nothing."""
    with Wire(broker.port) as client:
        client.open().open_channel().send(method(1, wire.ACCESS_REQUEST, short("/data") + b"\x1f"))
        assert client.expect(wire.ACCESS_REQUEST_OK).arguments == b"\x00\x01"


def test_without_a_consumer_tag_the_broker_makes_one_up(broker: Broker, name: str) -> None:
    with Wire(broker.port) as client:
        client.open().open_channel().declare(name)
        tags = []
        for _ in range(2):
            client.send(method(1, wire.BASIC_CONSUME, b"\x00\x00" + short(name) + short("") + b"\x00" + long(b"")))
            tags.append(client.expect(wire.BASIC_CONSUME_OK).arguments)
        assert tags[0] != tags[1] and all(tag[1:].startswith(b"amq.ctag-") for tag in tags)
