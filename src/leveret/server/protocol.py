"""A socket and its session: asyncio calls in, bytes out, flow control both ways, heartbeats and deadlines.

Thin on purpose: what bytes mean is the session's business. Made by server/server for each accepted connection.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from leveret.server.session import Session

if TYPE_CHECKING:
    from leveret.server.server import Server

log = logging.getLogger("leveret.connection")

WRITE_BUFFER_BYTES = 1024 * 1024


class Protocol(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = server.loop
        self.session = Session(server.broker, server.on_method, server.handshake.start, server.mark_dirty)
        self.transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._heard = 0
        self._silent_beats = 0
        self._written = False
        self._held: set[str] = set()

    # ---- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        session = self.session
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if isinstance(peer, tuple):
            session.peer_host, session.peer_port = str(peer[0]), int(peer[1])
            session.host, session.port = str(local[0]), int(local[1])
            session.loopback = session.peer_host.startswith("127.") or session.peer_host in (
                "::1",
                "::ffff:127.0.0.1",
            )
            session.name = f"{session.peer_host}:{session.peer_port} -> {session.host}:{session.port}"
        else:
            session.loopback = True
            session.host = str(local)
            session.name = f"unix:{self._server.next_number()} -> {local}"
        session.connected_at_ms = self._server.now_ms()
        self._deadline = self._loop.call_later(self._server.limits.handshake_s, self._too_slow)
        self._server.connected(self)

    def data_received(self, data: bytes) -> None:
        self._server.tick()
        session = self.session
        session.receive(data)
        if self._deadline is not None and session.router is not None and not session.ending:
            self._opened()
        if session.ending and not session.hang_up and self._deadline is None:
            self._await_close_ok()
        self._server.after(self)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        session = self.session
        self._server.tick()
        if not session.close_reason:
            log.warning("connection %s lost%s", session.name, f": {error}" if error else " without connection.close")
        else:
            log.info("connection %s ended: %s", session.name, session.close_reason)
        session.end("lost")
        for timer in (self._deadline, self._beat):
            if timer is not None:
                timer.cancel()
        self._server.disconnected(self)

    def pause_writing(self) -> None:
        self.session.congested = True

    def resume_writing(self) -> None:
        self.release("replies")
        self._server.tick()
        self.session.filled = False
        self.session.drained()
        self._server.wake()

    # ---- out

    def flush(self) -> None:
        """Write what the session has, once per loop turn."""
        session = self.session
        transport = self.transport
        data = session.flush()
        if transport.is_closing():
            return
        if data:
            self._written = True
            transport.write(data)
        if session.hang_up:
            transport.close()
        elif session.filled or session.congested:
            self._relieve()
        if transport.get_write_buffer_size() > self._server.limits.reply_bytes_max:
            self.hold("replies")

    def _relieve(self) -> None:
        """The session stopped taking deliveries to let this turn's be written: if the socket took them, go on."""
        session = self.session
        if self.transport.get_write_buffer_size() < WRITE_BUFFER_BYTES:
            session.filled = False
            session.drained()

    # ---- flow control: reading stops while there is any reason to

    def hold(self, reason: str) -> None:
        if not self._held:
            self.transport.pause_reading()
        self._held.add(reason)

    def release(self, reason: str) -> None:
        if self._held:
            self._held.discard(reason)
            if not self._held and not self.transport.is_closing():
                self.transport.resume_reading()

    # ---- deadlines and heartbeats

    def _opened(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        session = self.session
        named = session.client_properties.get("connection_name")
        log.info("connection %s opened by %s%s", session.name, session.user, f" ({named})" if named else "")
        if session.heartbeat_s:
            self._beat = self._loop.call_later(session.heartbeat_s / 2, self._on_beat)

    def _too_slow(self) -> None:
        self.session.close_reason = f"handshake took longer than {self._server.limits.handshake_s:g} s"
        self.transport.abort()

    def _await_close_ok(self) -> None:
        self._deadline = self._loop.call_later(self._server.limits.close_s, self.transport.abort)

    def _on_beat(self) -> None:
        """Every half interval: say something if nothing was said, and hang up on a peer silent for two intervals."""
        session = self.session
        heard = session.wire.heard
        self._silent_beats = self._silent_beats + 1 if heard == self._heard and not self._held else 0
        self._heard = heard
        if self._silent_beats >= 4:
            session.close_reason = f"missed heartbeats from the client, timeout: {session.heartbeat_s} s"
            self.transport.abort()
            return
        if not self._written:
            session.wire.heartbeat()
            session.touch()
        self._written = False
        self._beat = self._loop.call_later(session.heartbeat_s / 2, self._on_beat)
