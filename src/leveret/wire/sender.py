"""The sending half of a connection: commands in, bytes out, each checked against the tables in wire/machine.

Keeps the states that both halves move. Extended by wire/connection, which is the receiving half; never used alone.
"""

from __future__ import annotations

from typing import Final

from leveret.errors import ProtocolMisuse
from leveret.wire.channel import IDLE, ChannelMachine
from leveret.wire.frames import HEARTBEAT, OVERHEAD, content_frames, deliver_frames, header_payload, method_frame
from leveret.wire.machine import (
    CHANNEL_CLOSING,
    CHANNEL_OPEN,
    CLIENT_MOVES,
    HEADER,
    SERVER_MOVES,
    STATE_NAMES,
)
from leveret.wire.methods import Method, encode_method
from leveret.wire.spec import PROTOCOL_HEADER

HANDSHAKE_FRAME_MAX: Final = 8192
"""The largest frame accepted before tuning."""


class Sender:
    """`server` tells the role; limits hold from tuning on (see `tune`)."""

    def __init__(self, server: bool) -> None:
        self.server: Final = server
        self.state: int = HEADER
        self.frame_max: int = HANDSHAKE_FRAME_MAX
        self.channel_max: int = 0
        self.channels: dict[int, ChannelMachine] = {}
        self._last: ChannelMachine | None = None
        self._out: list[bytes] = []
        self.out_bytes: int = 0
        self.unfinished: int = 0
        """Octets of messages that the peer has begun to send and not ended; small header frames are not counted."""

    def open(self) -> None:
        """The client's first word: the protocol header."""
        self._write(PROTOCOL_HEADER)

    def refuse(self) -> None:
        """The server's answer to a wrong protocol header; close the socket after writing it."""
        self._write(PROTOCOL_HEADER)

    def tune(self, channel_max: int, frame_max: int) -> None:
        """The limits agreed in tune and tune-ok hold from now on; 0 is no limit."""
        self.channel_max = channel_max
        self.frame_max = frame_max

    def send(self, number: int, method: Method) -> None:
        """A method without content. One that is not legal now raises ProtocolMisuse and writes nothing."""
        if number == 0:
            moves = SERVER_MOVES if self.server else CLIENT_MOVES
            state = moves[self.state].get(method.name)
            if state is None:
                raise ProtocolMisuse(f"{method.name} cannot be sent while {STATE_NAMES[self.state]}")
            self.state = state
        else:
            self._move_channel(number, method.name)
        self._write(method_frame(number, encode_method(method)))

    def _move_channel(self, number: int, name: str) -> None:
        if name == "channel.open":
            if number in self.channels or self.server:
                raise ProtocolMisuse(f"channel {number} is open already")
            self.channels[number] = ChannelMachine(number)
            return
        channel = self.channels.get(number)
        if channel is None:
            raise ProtocolMisuse(f"{name} on channel {number}, which is not open")
        if name == "channel.open-ok":
            channel.state = CHANNEL_OPEN
        elif name == "channel.close":
            channel.state = CHANNEL_CLOSING
            self.drop_content(channel)
        elif name == "channel.close-ok":
            self._forget(number)
        elif channel.state == CHANNEL_CLOSING:
            raise ProtocolMisuse(f"{name} on channel {number}, which is closing")

    def send_content(self, number: int, method: Method, properties: bytes, body: bytes) -> None:
        """A method with content; `properties` as wire/properties encodes them."""
        header = header_payload(len(body), properties)
        self._check_header(header)
        self._write(content_frames(number, encode_method(method), header, body, self.frame_max))

    def pass_content(self, number: int, method: Method, header: bytes, body: bytes) -> None:
        """A method with content that came from elsewhere: `header` is the whole payload of its header frame."""
        self._write(content_frames(number, encode_method(method), header, body, self.frame_max))

    def publish(self, number: int, payload: bytes, header: bytes, body: bytes) -> None:
        """basic.publish whose `payload` was encoded before (encode_method), for publishing many alike."""
        self._check_header(header)
        self._write(content_frames(number, payload, header, body, self.frame_max))

    def _check_header(self, header: bytes) -> None:
        """Bodies are cut to fit into frames; a header frame cannot be, and one that is too large ends the connection."""
        if self.frame_max and len(header) > self.frame_max - OVERHEAD:
            text = f"the properties take {len(header) - 12} octets, a frame holds {self.frame_max - OVERHEAD - 12}"
            raise ProtocolMisuse(f"{text}: fewer or shorter headers are needed")

    def deliver(
        self,
        number: int,
        tag: bytes,
        delivery_tag: int,
        redelivered: bool,
        address: bytes,
        header: bytes,
        body: bytes,
    ) -> None:
        """basic.deliver; `tag` and `address` are encoded short strings, `header` a header frame's payload."""
        self._write(deliver_frames(number, tag, delivery_tag, redelivered, address, header, body, self.frame_max))

    def ack(self, number: int, delivery_tag: int, multiple: bool) -> None:
        """basic.ack."""
        tag = delivery_tag.to_bytes(8, "big")
        self._write(method_frame(number, b"\x00\x3c\x00\x50" + tag + (b"\x01" if multiple else b"\x00")))

    def heartbeat(self) -> None:
        self._write(HEARTBEAT)

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        self.out_bytes += len(data)

    def take(self) -> bytes:
        """Everything to be written, in order; the caller writes it to the socket in one go."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        self._out = []
        self.out_bytes = 0
        return data

    def inside_content(self) -> bool:
        """Whether what arrived last was a part of a message of which more is to come."""
        channel = self._last
        return channel is not None and channel.stage != IDLE

    def drop_content(self, channel: ChannelMachine) -> None:
        """Forget the content that was begun on the channel."""
        self.unfinished -= channel.held
        channel.drop_content()

    def drop_all_content(self) -> None:
        """Nothing more is taken from the peer."""
        for channel in self.channels.values():
            self.drop_content(channel)

    def _forget(self, number: int) -> None:
        self.channels.pop(number, None)
        self._last = None
