"""One connection's socket: bytes between asyncio and the wire's protocol machine, from handshake to end.

A link is used once: it ends, with a reason, and is replaced by another. What the program asks for in one turn of the
event loop is written in one go. Made by client/handshake, owned by client/connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Final, cast

from leveret.client.heartbeat import Heartbeat
from leveret.client.waiting import ConnectionClosed, Replies, again
from leveret.errors import ChannelError, ConnectionLost
from leveret.wire.connection import Connection as Machine
from leveret.wire.events import (
    Ack,
    ChannelFailure,
    Content,
    Delivery,
    Event,
    HeaderMismatch,
    MethodReceived,
    ProtocolFailure,
)
from leveret.wire.machine import CLOSED
from leveret.wire.methods import (
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionUnblocked,
    Method,
)

if TYPE_CHECKING:
    from leveret.client.session import Session

log = logging.getLogger(__name__)

WRITE_AHEAD_BYTES: Final = 65_536
"""Gathered output above this goes to the transport at once, so that its high-water mark is noticed."""

WRITE_BUFFER_BYTES: Final = 1_048_576
"""The transport's high-water mark: beyond it publishers wait."""


class Link(asyncio.Protocol):
    """`error` is None as long as the link lives, then the reason for its end; `on_end` is called with it, once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.machine = Machine(server=False)
        self.sessions: dict[int, Session] = {}
        self.replies = Replies(loop)
        self.error: Exception | None = None
        self.on_end: Callable[[Exception], None] | None = None
        self.on_blocked: Callable[[bool, str], None] | None = None
        self.server_properties: dict[str, object] = {}
        self.channel_max = 0
        self.blocked = False
        self.may_write = asyncio.Event()
        self.may_publish = asyncio.Event()
        self.may_write.set()
        self.may_publish.set()
        self.octets_written = 0
        self._transport: asyncio.Transport | None = None
        self._heartbeat: Heartbeat | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flush_due = False

    # ---- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By its methods: uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.machine.open()
        self.flush()

    def data_received(self, data: bytes) -> None:
        sessions = self.sessions
        try:
            for event in self.machine.receive(data):
                session = sessions.get(event.channel)
                if session is None:
                    self._own_event(event)
                elif isinstance(event, Delivery):
                    session.deliver(event)
                elif isinstance(event, Ack):
                    session.confirmed(event.delivery_tag, event.multiple)
                elif isinstance(event, (MethodReceived, Content)):
                    session.receive(event)
                else:
                    self._own_event(event)
        except Exception as error:
            log.exception("the client failed on what the broker sent")
            self.end(ConnectionLost(f"the client failed on what the broker sent: {error!r}"))

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f": {exc}" if exc else " by the other side, which gave no reason"
        self.end(ConnectionLost(f"the connection was cut{reason}"))

    # ---- the connection's own channel

    def _own_event(self, event: Event) -> None:
        if isinstance(event, MethodReceived) and event.channel == 0:
            self._own_method(event)
        elif isinstance(event, ProtocolFailure):
            self._refuse(event)
        elif isinstance(event, HeaderMismatch):
            self.end(ConnectionLost("what answered does not speak AMQP 0-9-1, or refuses this client"))
        elif isinstance(event, ChannelFailure):
            self._refuse_channel(event)

    def _own_method(self, event: MethodReceived) -> None:
        method = event.method
        if isinstance(method, ConnectionClose):
            self.machine.send(0, ConnectionCloseOk())
            self.flush()
            self.end(ConnectionClosed(method.reply_code, method.reply_text, method.failed_class, method.failed_method))
        elif isinstance(method, ConnectionBlocked):
            self._block(True, method.reason)
        elif isinstance(method, ConnectionUnblocked):
            self._block(False, "")
        elif not self.replies.answer(event) and not isinstance(method, ConnectionCloseOk):
            self.end(ConnectionLost(f"the broker sent {method.name}, which nobody asked for"))

    def _block(self, blocked: bool, reason: str) -> None:
        self.blocked = blocked
        if blocked:
            self.may_publish.clear()
        else:
            self.may_publish.set()
        if self.on_blocked is not None:
            self.on_blocked(blocked, reason)

    def _refuse(self, failure: ProtocolFailure) -> None:
        """Tell the peer why (AMQP 0-9-1 section 4.10.2) and hang up without waiting for its answer."""
        if self.machine.state < CLOSED:
            text = failure.text.encode()[:255].decode(errors="ignore")
            self.machine.send(0, ConnectionClose(failure.code, text, failure.class_id, failure.method_id))
            self.flush()
        self.end(ConnectionLost(f"the broker broke the protocol: {failure.code} {failure.text}"))

    def _refuse_channel(self, failure: ChannelFailure) -> None:
        session = self.sessions.get(failure.channel)
        self.send(failure.channel, ChannelClose(failure.code, failure.text, failure.class_id, failure.method_id))
        if session is not None:
            session.end(ChannelError(failure.code, failure.text, failure.class_id, failure.method_id))

    # ---- called by the client

    def send(self, number: int, method: Method) -> None:
        """Write a method with this turn's output."""
        self.machine.send(number, method)
        self.schedule()

    def schedule(self) -> None:
        """See to it that what the machine holds is written before the next turn of the loop ends."""
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush_scheduled)
        elif self.machine.out_bytes > WRITE_AHEAD_BYTES:
            self.flush()

    def _flush_scheduled(self) -> None:
        self._flush_due = False
        self.flush()

    def flush(self) -> None:
        data = self.machine.take()
        if data and self._transport is not None and self.error is None:
            self.octets_written += len(data)
            self._transport.write(data)

    def free_number(self, after: int) -> int:
        """A channel number that nobody uses, the next one free behind `after`; 0 if all are taken."""
        taken = self.machine.channels
        for number in chain(range(after + 1, self.channel_max + 1), range(1, self.channel_max + 1)):
            if number not in taken:
                return number
        return 0

    def fileno(self) -> int:
        """The socket's number, or -1 if there is none any more."""
        socket = self._transport.get_extra_info("socket") if self._transport and self.error is None else None
        return -1 if socket is None else int(socket.fileno())

    def start_heartbeat(self, interval_s: int) -> None:
        self._heartbeat = Heartbeat(interval_s)
        self._timer = self.loop.call_later(self._heartbeat.period_s, self._tick)

    def _tick(self) -> None:
        heartbeat = self._heartbeat
        if heartbeat is None or self.error is not None:
            return
        if heartbeat.tick(self.machine.heard, self.octets_written):
            self.machine.heartbeat()
            self.flush()
        if heartbeat.dead:
            self.end(ConnectionLost(f"nothing was heard from the broker for {2 * heartbeat.interval_s} s (heartbeat)"))
        else:
            self._timer = self.loop.call_later(heartbeat.period_s, self._tick)

    def end(self, error: Exception) -> None:
        """The link is over; everybody who waits on it is told. Only the first reason counts."""
        if self.error is not None:
            return
        self.error = error
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._hang_up(self._transport)
        self.may_write.set()
        if self.blocked:
            self._block(False, "")
        self.replies.fail(error)
        for session in list(self.sessions.values()):
            session.end(again(error))
        self.sessions.clear()
        if self.on_end is not None:
            self.on_end(error)

    def _hang_up(self, transport: asyncio.Transport) -> None:
        """With output waiting for a peer that does not read, a polite close would never come to its end."""
        if transport.get_write_buffer_size() > 0 and not isinstance(self.error, ConnectionClosed):
            transport.abort()
        else:
            transport.close()
