"""A hand-made AMQP 0-9-1 client on a raw socket, for what no proper client would send.

It writes frames byte by byte and reads whole frames; it knows only the methods the tests of wire errors need.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, CONTENT_HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = b"\xce"
WITHIN_S = 60.0

START, START_OK, TUNE, TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
OPEN, OPEN_OK, CLOSE, CLOSE_OK = (10, 40), (10, 41), (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 10), (20, 11), (20, 40), (20, 41)
QUEUE_DECLARE, QUEUE_DECLARE_OK = (50, 10), (50, 11)
BASIC_CONSUME, BASIC_CONSUME_OK, BASIC_DELIVER = (60, 20), (60, 21), (60, 60)
BASIC_PUBLISH, BASIC_ACK = (60, 40), (60, 80)
ACCESS_REQUEST, ACCESS_REQUEST_OK = (30, 10), (30, 11)


@dataclass(frozen=True)
class Frame:
    kind: int
    channel: int
    payload: bytes

    @property
    def method(self) -> tuple[int, int]:
        """Class and method number; (0, 0) for a frame that is no method."""
        return struct.unpack_from(">HH", self.payload) if self.kind == METHOD else (0, 0)

    @property
    def arguments(self) -> bytes:
        return self.payload[4:]

    @property
    def reply(self) -> tuple[int, str]:
        """Code and text of a connection.close or channel.close."""
        assert self.method in (CLOSE, CHANNEL_CLOSE), f"{self} closes nothing"
        (code,) = struct.unpack_from(">H", self.arguments)
        return code, self.arguments[3 : 3 + self.arguments[2]].decode()


def short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def long(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def frame(kind: int, channel: int, payload: bytes, end: bytes = FRAME_END) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def method(channel: int, which: tuple[int, int], arguments: bytes = b"") -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", *which) + arguments)


def capability(name: str) -> bytes:
    """A client-properties table that claims one capability."""
    capabilities = short(name) + b"t\x01"
    return long(short("capabilities") + b"F" + long(capabilities))


def publish(key: str, channel: int = 1) -> bytes:
    return method(channel, BASIC_PUBLISH, b"\x00\x00" + short("") + short(key) + b"\x00")


def content_header(
    size: int, channel: int = 1, class_id: int = 60, weight: int = 0, flags: int = 0, properties: bytes = b""
) -> bytes:
    return frame(CONTENT_HEADER, channel, struct.pack(">HHQH", class_id, weight, size, flags) + properties)


class Wire:
    """One connection. Reading ends with `None` at the end of the stream, whatever way it ended."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        self.tune = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def read(self, count: int) -> bytes:
        """`count` bytes, or fewer at the end of the stream."""
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionError:
                break
            if not more:
                break
            data += more
        return data

    def next(self) -> Frame | None:
        head = self.read(7)
        if len(head) < 7:
            return None
        kind, channel, size = struct.unpack(">BHI", head)
        payload = self.read(size + 1)
        return Frame(kind, channel, payload[:-1])

    def expect(self, which: tuple[int, int]) -> Frame:
        """The next frame that is no heartbeat, which has to be this method."""
        found = self.next()
        while found is not None and found.kind == HEARTBEAT:
            found = self.next()
        assert found is not None, f"the stream ended instead of {which}"
        assert found.method == which, f"{found} instead of {which}"
        return found

    def closed_with(self) -> tuple[int, str]:
        """The broker sends connection.close and, once that is answered, ends the stream."""
        reply = self.expect(CLOSE).reply
        self.send(method(0, CLOSE_OK))
        assert self.next() is None, "the stream goes on after close-ok"
        return reply

    def greet(
        self,
        user: str = "guest",
        password: str = "guest",
        properties: bytes = long(b""),
        mechanism: str = "PLAIN",
        acting_for: str = "",
    ) -> None:
        """Up to start-ok. What comes next depends on whether the broker likes it."""
        self.send(HEADER)
        self.expect(START)
        response = f"{acting_for}\0{user}\0{password}".encode()
        self.send(method(0, START_OK, properties + short(mechanism) + long(response) + short("en_US")))

    def agree(self, channel_max: int = 2047, frame_max: int = 131_072, heartbeat_s: int = 0) -> None:
        self.tune = self.expect(TUNE).arguments
        self.send(method(0, TUNE_OK, struct.pack(">HIH", channel_max, frame_max, heartbeat_s)))

    def enter(self, vhost: str = "/") -> None:
        self.send(method(0, OPEN, short(vhost) + b"\x00\x00"))

    def open(self, **tune: int) -> Wire:
        """The whole handshake."""
        self.greet()
        self.agree(**tune)
        self.enter()
        self.expect(OPEN_OK)
        return self

    def open_channel(self, number: int = 1) -> Wire:
        self.send(method(number, CHANNEL_OPEN, short("")))
        self.expect(CHANNEL_OPEN_OK)
        return self

    def declare(self, queue: str, channel: int = 1) -> Frame:
        self.send(method(channel, QUEUE_DECLARE, b"\x00\x00" + short(queue) + b"\x00" + long(b"")))
        return self.expect(QUEUE_DECLARE_OK)
