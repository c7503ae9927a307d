"""The protocol machine of one connection, for both roles, without any I/O.

Four doors: `receive` takes bytes and returns events; `send`, `send_content`, `deliver` and others (wire/sender) take
commands; `take` gives the bytes to write. What is legal stands in wire/machine. server/session drives the server's end,
client/transport the client's.
"""

from __future__ import annotations

from typing import Final

from leveret.errors import CodecError
from leveret.wire.addresses import Addresses
from leveret.wire.channel import AWAIT_BODY, AWAIT_HEADER, IDLE, NO_METHOD, SMALL_HEADER_BYTES, ChannelMachine
from leveret.wire.events import (
    Ack,
    Address,
    ChannelFailure,
    Content,
    Delivery,
    Event,
    HeaderMismatch,
    HeaderReceived,
    Heartbeat,
    MethodReceived,
    ProtocolFailure,
    Publish,
)
from leveret.wire.frames import CloseFinder, Gatherer
from leveret.wire.machine import (
    CHANNEL_CLOSED_BY_PEER,
    CHANNEL_CLOSING,
    CHANNEL_FAILED,
    CHANNEL_OPEN,
    CLIENT_MOVES,
    CLOSED,
    CLOSING,
    HEADER,
    OPEN,
    SERVER_MOVES,
    STATE_NAMES,
)
from leveret.wire.methods import Method, UnknownMethod, decode_method
from leveret.wire.sender import Sender
from leveret.wire.spec import PROTOCOL_HEADER
from leveret.wire.values import NESTING_MAX

MESSAGE_BYTES_MAX: Final = 134_217_728


class Connection(Sender):
    """One connection's end. `server` tells the role; content larger than `message_bytes_max`
    and tables nested deeper than `nesting_max` are refused.
    """

    def __init__(
        self, server: bool, message_bytes_max: int = MESSAGE_BYTES_MAX, nesting_max: int = NESTING_MAX
    ) -> None:
        super().__init__(server)
        self._nesting_max: Final = nesting_max
        self.message_bytes_max: Final = message_bytes_max
        self.heard: int = 0
        self._gatherer = Gatherer()
        self.addresses: Final = Addresses()
        self._events: list[Event] = []
        self._failed: bool = False
        self._finder = CloseFinder()
        # connection.close has come: nobody waits any more for answers to what came before it.
        self.closed_by_peer: bool = False

    def gathered(self) -> int:
        """Octets held of what is not complete: frames and messages."""
        return self._gatherer.pieces.octets + self.unfinished

    # ---- bytes in, events out

    def receive(self, data: bytes) -> list[Event]:
        """The events in `data`. After a ProtocolFailure or HeaderMismatch (always the last) nothing more comes."""
        self._events = []
        self.heard += len(data)
        if self._failed:
            self._after_failure(data)
            return self._events
        data = self._gatherer.feed(data)
        pos = 0
        end = len(data)
        if self.state == HEADER and end:
            pos = self._protocol_header(data)
            if pos < 0:
                return self._events
        while not self._failed and end - pos >= 7:
            size = data[pos + 3] << 24 | data[pos + 4] << 16 | data[pos + 5] << 8 | data[pos + 6]
            if self.frame_max and size > self.frame_max - 8:
                text = f"frame of {size + 8} octets is larger than frame_max {self.frame_max}"
                self._fail(0, 501, f"FRAME_ERROR - type {data[pos]}: {text}")
                break
            stop = pos + 7 + size
            if stop >= end:
                break
            if data[stop] != 0xCE:
                self._fail(0, 501, f"FRAME_ERROR - frame does not end with frame-end octet 206 but {data[stop]}")
                break
            self._frame(data[pos], data[pos + 1] << 8 | data[pos + 2], data, pos + 7, stop)
            pos = stop + 1
        if self._failed:
            self._after_failure(data[pos:])
        elif pos < end:
            wanted = 7
            if end - pos >= 7:
                wanted = 8 + (data[pos + 3] << 24 | data[pos + 4] << 16 | data[pos + 5] << 8 | data[pos + 6])
            self._gatherer.keep(data[pos:], wanted)
        return self._events

    def _after_failure(self, data: bytes) -> None:
        """Frames cannot be told apart any more, so the one answer awaited is looked for as it stands."""
        method = None if self.state == CLOSED else self._finder.feed(data)
        if method is not None:
            self.state = CLOSED if method.name == "connection.close-ok" else CLOSING
            self._events.append(MethodReceived(0, method))

    def _protocol_header(self, data: bytes) -> int:
        """Where the frames begin: after the header, or -1 if it is incomplete or not ours."""
        if not self.server and data[0] != 0x41:
            return 0
        if self.server and data[:8] == PROTOCOL_HEADER:
            self._events.append(HeaderReceived(0))
            return 8
        if len(data) < 8 and PROTOCOL_HEADER[: len(data)] == data:
            self._gatherer.keep(data, len(data) + 1)
            return -1
        self._failed = True
        self.state = CLOSED
        self._events.append(HeaderMismatch(0))
        return -1

    def _frame(self, kind: int, number: int, data: bytes, start: int, stop: int) -> None:
        if number == 0:
            self._connection_frame(kind, data, start, stop)
            return
        if self.state != OPEN:
            if self.state < OPEN:
                self._fail(number, 505, f"UNEXPECTED_FRAME - on channel {number} of a connection that is not open")
            return
        channel = self._last
        if channel is None or channel.number != number:
            channel = self.channels.get(number)
            self._last = channel
        if channel is None:
            self._unopened(kind, number, data, start, stop)
        elif channel.state >= CHANNEL_CLOSING:
            self._closing(channel, kind, data, start, stop)
        elif kind == 1:
            self._method(channel, data, start, stop)
        elif kind == 2 and channel.stage == AWAIT_HEADER:
            self._header(channel, data, start, stop)
        elif kind == 3 and channel.stage == AWAIT_BODY:
            self._body(channel, data, start, stop)
        elif kind == 8:
            self._fail(number, 505, "UNEXPECTED_FRAME - heartbeat on a channel other than 0")
        elif kind != 2 and kind != 3:
            self._fail_type(kind, number, data, start, stop)
        else:
            self._fail_content(channel)

    # ---- methods

    def _method(self, channel: ChannelMachine, data: bytes, start: int, stop: int) -> None:
        if channel.stage != IDLE:
            self._fail_content(channel)
        elif stop - start < 4:
            self._fail(channel.number, 501, "FRAME_ERROR - a method frame of less than 4 octets")
        elif data[start + 1] == 60 and data[start] == 0 and data[start + 2] == 0:
            method_id = data[start + 3]
            if method_id == 80 and stop - start == 13:
                tag = int.from_bytes(data[start + 4 : start + 12], "big")
                self._events.append(Ack(channel.number, tag, data[start + 12] & 1 == 1))
            elif method_id == 40 and self.server:
                self._publish(channel, data[start:stop])
            elif method_id == 60 and not self.server:
                self._deliver(channel, data[start:stop])
            else:
                self._any_method(channel, data[start:stop])
        else:
            self._any_method(channel, data[start:stop])

    def _any_method(self, channel: ChannelMachine, payload: bytes) -> None:
        method = self._decode(channel.number, payload)
        if method is None:
            return
        name = method.name
        if (
            method.sent_by == ("server" if self.server else "client")
            or method.class_id == 10
            or name == "channel.close-ok"
        ):
            self._fail_method(channel.number, 503, "COMMAND_INVALID - unimplemented method", method)
        elif name == "channel.open":
            self._fail_method(channel.number, 504, "CHANNEL_ERROR - second 'channel.open' seen", method)
        elif method.has_content:
            channel.expect_content(None, method)
        else:
            if name == "channel.open-ok":
                channel.state = CHANNEL_OPEN
            elif name == "channel.close":
                channel.state = CHANNEL_CLOSED_BY_PEER
                self.drop_content(channel)
            self._events.append(MethodReceived(channel.number, method))

    def _publish(self, channel: ChannelMachine, payload: bytes) -> None:
        address = self.addresses.known.get(payload)
        if address is None:
            address = self._address(channel.number, payload, 6, 1)
            if address is None:
                return
        channel.expect_content(address, None)

    def _deliver(self, channel: ChannelMachine, payload: bytes) -> None:
        at = 5 + payload[4] if len(payload) > 4 else 0
        if not at or len(payload) < at + 9:
            self._fail(channel.number, 501, "FRAME_ERROR - basic.deliver is cut short", 60, 60)
            return
        channel.consumer_tag = payload[5:at].decode("utf-8", "surrogateescape")
        channel.delivery_tag = int.from_bytes(payload[at : at + 8], "big")
        channel.redelivered = payload[at + 8] & 1 == 1
        tail = payload[at + 9 :]
        address = self.addresses.known.get(tail)
        if address is None:
            address = self._address(channel.number, tail, 0, 0)
            if address is None:
                return
        channel.expect_content(address, None)

    def _address(self, number: int, payload: bytes, start: int, bits: int) -> Address | None:
        address = self.addresses.read(payload, start, bits)
        if address is None:
            self._fail(number, 501, "FRAME_ERROR - the method's arguments do not fit", 60, 40 if bits else 60)
        return address

    def _decode(self, number: int, payload: bytes) -> Method | None:
        try:
            return decode_method(payload, self._nesting_max)
        except UnknownMethod as error:
            self._fail(number, 503, f"COMMAND_INVALID - {error}", error.class_id, error.method_id)
        except CodecError as error:
            class_id = payload[0] << 8 | payload[1] if len(payload) >= 4 else 0
            method_id = payload[2] << 8 | payload[3] if len(payload) >= 4 else 0
            self._fail(number, 501, f"FRAME_ERROR - {error}", class_id, method_id)
        return None

    # ---- content

    def _header(self, channel: ChannelMachine, data: bytes, start: int, stop: int) -> None:
        if stop - start < 14:
            self._fail(channel.number, 501, "FRAME_ERROR - a content header of less than 14 octets")
            return
        if data[start + 2] or data[start + 3]:  # a weight, which nothing has; RabbitMQ takes it for no content header
            self._fail_content(channel)
            return
        if data[start] != 0 or data[start + 1] != 60:
            class_id = data[start] << 8 | data[start + 1]
            text = f"expected content header for class 60, got one for class {class_id} instead"
            self._fail(channel.number, 505, f"UNEXPECTED_FRAME - {text}", 60, 40)
            return
        size = int.from_bytes(data[start + 4 : start + 12], "big")
        if size > self.message_bytes_max:
            channel.state = CHANNEL_FAILED
            self.drop_content(channel)
            text = f"message size {size} is larger than configured max size {self.message_bytes_max}"
            self._events.append(ChannelFailure(channel.number, 406, f"PRECONDITION_FAILED - {text}", 60, 40))
            return
        channel.header = data[start:stop]
        channel.missing = size
        channel.stage = AWAIT_BODY
        if size == 0:
            self._complete(channel, b"")
        elif stop - start > SMALL_HEADER_BYTES:
            channel.held = stop - start
            self.unfinished += stop - start

    def _body(self, channel: ChannelMachine, data: bytes, start: int, stop: int) -> None:
        size = stop - start
        if size > channel.missing:
            self._fail_content(channel)
            return
        channel.missing -= size
        if channel.missing:
            channel.parts.add(data[start:stop])
            channel.held += size
            self.unfinished += size
        elif channel.held:
            channel.parts.add(data[start:stop])
            self._complete(channel, channel.parts.take())
        else:
            self._complete(channel, data[start:stop])

    def _complete(self, channel: ChannelMachine, body: bytes) -> None:
        address = channel.address
        method = channel.method
        number = channel.number
        if method is not None:
            self._events.append(Content(number, method, channel.header, body))
        elif address is not None and self.server:
            self._events.append(Publish(number, address, channel.header, body))
        elif address is not None:
            self._events.append(
                Delivery(
                    number,
                    channel.consumer_tag,
                    channel.delivery_tag,
                    channel.redelivered,
                    address,
                    channel.header,
                    body,
                )
            )
        channel.stage = IDLE
        if method is not None or channel.held:
            self.drop_content(channel)

    # ---- the connection's own channel, and channels that are not open

    def _connection_frame(self, kind: int, data: bytes, start: int, stop: int) -> None:
        if kind == 8:
            if stop > start:
                self._fail(0, 501, "FRAME_ERROR - a heartbeat with a payload")
            else:
                self._events.append(Heartbeat(0))
            return
        if kind != 1:
            if kind == 2 or kind == 3:
                self._fail(0, 505, "UNEXPECTED_FRAME - content on channel 0")
            else:
                self._fail_type(kind, 0, data, start, stop)
            return
        method = self._decode(0, data[start:stop])
        if method is None:
            return
        if self.state == CLOSING and method.name != "connection.close" and method.name != "connection.close-ok":
            return
        moves = CLIENT_MOVES if self.server else SERVER_MOVES
        state = moves[self.state].get(method.name)
        if state is None:
            text = f"CHANNEL_ERROR - unexpected method in connection state {STATE_NAMES[self.state]}"
            self._fail_method(0, 504, text, method)
            return
        self.state = state
        if method.name == "connection.close":
            if self.closed_by_peer:
                return
            self.closed_by_peer = True
        self._events.append(MethodReceived(0, method))

    def _unopened(self, kind: int, number: int, data: bytes, start: int, stop: int) -> None:
        if kind == 2 or kind == 3:
            self._fail(number, 505, f"UNEXPECTED_FRAME - {NO_METHOD}")
            return
        if kind != 1:
            self._fail_type(kind, number, data, start, stop)
            return
        method = self._decode(number, data[start:stop])
        if method is None or method.name == "channel.close-ok":
            return
        if method.name != "channel.open" or not self.server:
            self._fail_method(number, 504, "CHANNEL_ERROR - expected 'channel.open'", method)
        elif self.channel_max and len(self.channels) >= self.channel_max:
            text = f"number of channels opened ({len(self.channels)}) has reached the negotiated channel_max"
            self._fail(number, 530, f"NOT_ALLOWED - {text} ({self.channel_max})")
        else:
            self.channels[number] = ChannelMachine(number)
            self._events.append(MethodReceived(number, method))

    def _closing(self, channel: ChannelMachine, kind: int, data: bytes, start: int, stop: int) -> None:
        """A channel on which close was sent, or will be at once: only the end of the handshake counts (AMQP 0-9-1 section 1.5.2.5)."""
        if kind != 1 or channel.state == CHANNEL_CLOSED_BY_PEER:
            return
        method = self._decode(channel.number, data[start:stop])
        if method is None:
            return
        if method.name == "channel.close-ok" and channel.state == CHANNEL_CLOSING:
            self._forget(channel.number)
            self._events.append(MethodReceived(channel.number, method))
        elif method.name == "channel.close":
            channel.state = CHANNEL_CLOSED_BY_PEER
            self._events.append(MethodReceived(channel.number, method))

    # ---- failures

    def _fail(self, number: int, code: int, text: str, class_id: int = 0, method_id: int = 0) -> None:
        self._failed = True
        self._events.append(ProtocolFailure(number, code, text, class_id, method_id))

    def _fail_method(self, number: int, code: int, text: str, method: Method) -> None:
        self._fail(number, code, text, method.class_id, method.method_id)

    def _fail_type(self, kind: int, number: int, data: bytes, start: int, stop: int) -> None:
        self._fail(number, 501, f"FRAME_ERROR - unknown frame type {kind}, first octets {data[start:stop][:16]!r}")

    def _fail_content(self, channel: ChannelMachine) -> None:
        """A frame out of turn, in RabbitMQ's words."""
        self._fail(channel.number, 505, f"UNEXPECTED_FRAME - {channel.awaited()}", 60, 40)
