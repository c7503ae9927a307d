"""A socket and its session: asyncio's calls in, bytes out, flow control both ways, heartbeats and deadlines.

Thin on purpose: what bytes mean is the session's business. Made by server/server for each accepted connection. Compiled,
so it is an asyncio protocol by its methods only (a compiled class cannot derive from an interpreted one).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

from leveret.server.session import Session

if TYPE_CHECKING:
    from leveret.server.server import Server

log = logging.getLogger("leveret.connection")

WRITE_BUFFER_BYTES: Final = 1024 * 1024

PIECE_BYTES_MAX: Final = 128 * 1024
"""A larger piece shows that more is waiting, which libuv would go on reading at once: first the others get their turn."""


class Protocol:
    def __init__(self, server: Server) -> None:
        self._server: Final = server
        self._loop: Final = server.loop
        self._turns: Final = server.turns
        self.session: Final = Session(
            server.broker,
            server.on_method,
            server.handshake.start,
            self._mark_dirty,
            self.hold,
            self.release,
            server.limits,
        )
        # What is left of it when the socket is handed over: TLS comes first (server/tls).
        self.handshake_s: float = server.limits.handshake_s
        self.transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._heard: int = 0
        self._silent_beats: int = 0
        self._unfinished: int = 0
        self._written: bool = False
        self._opened: bool = False
        # Reading stops while there is any reason to.
        self._holds: int = 0
        self.held_by_store: bool = False

    # ---- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        self.transport = stream
        stream.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        session = self.session
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if isinstance(peer, tuple):
            session.peer_host, session.peer_port = str(peer[0]), int(peer[1])
            session.host, session.port = str(local[0]), int(local[1])
            session.loopback = session.peer_host.startswith("127.") or session.peer_host in ("::1", "::ffff:127.0.0.1")
            session.name = f"{session.peer_host}:{session.peer_port} -> {session.host}:{session.port}"
        else:
            session.loopback = True
            session.host = str(local)
            session.name = f"unix:{self._server.next_number()} -> {local}"
        session.connected_at_ms = self._server.now_ms()
        self._deadline = self._loop.call_later(self.handshake_s, self._too_slow)
        self._server.connected(self)

    def data_received(self, data: bytes) -> None:
        self._turns.begin()
        session = self.session
        session.receive(data)
        unfinished = session.wire.gathered() + session.uncommitted
        if unfinished != self._unfinished:
            self._unfinished = unfinished
            self._server.unfinished.changed(session, unfinished)
        if not self._opened or session.ending:
            self._progress()
        if len(data) > PIECE_BYTES_MAX:
            self.hold()
            self._turns.release_after(self)
        if self._turns.full:
            self._server.hold_for_store(self)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        session = self.session
        self._turns.begin()
        if not session.close_reason:
            log.warning("connection %s lost%s", session.name, f": {error}" if error else " without connection.close")
        else:
            log.info("connection %s ended: %s", session.name, session.close_reason)
        session.end("lost")
        if self._deadline is not None:
            self._deadline.cancel()
        if self._beat is not None:
            self._beat.cancel()
        self._server.disconnected(self)
        self.transport = self._deadline = self._beat = None
        session.let_go()

    def pause_writing(self) -> None:
        self.session.congested = True

    def resume_writing(self) -> None:
        self._turns.begin()
        session = self.session
        if session.unread:
            session.unread = False
            self.release()
        session.drained()

    # ---- out

    def _mark_dirty(self) -> None:
        self._turns.mark_dirty(self)

    def flush(self) -> None:
        """Write what the session has, once per loop turn."""
        session = self.session
        transport = self.transport
        data = session.flush()
        if transport is None or transport.is_closing():
            return
        if data:
            self._written = True
            transport.write(data)
        if session.hang_up:
            transport.close()
            if transport.get_write_buffer_size():  # a client that does not read must not keep the connection
                self._loop.call_later(self._server.limits.close_s, self.abort)
        elif session.ending:
            self._progress()
        elif session.congested:
            self._relieve(transport)

    def _relieve(self, transport: asyncio.Transport) -> None:
        """The session takes no deliveries until this turn's are written: go on if the socket took them."""
        waiting = transport.get_write_buffer_size()
        if waiting < WRITE_BUFFER_BYTES:
            self.session.drained()
        elif waiting > self._server.limits.reply_bytes_max and not self.session.unread:
            self.session.unread = True
            self.hold()

    # ---- flow control

    def hold(self) -> None:
        """Stop reading from the client; every call needs its `release`."""
        self._holds += 1
        if self._holds == 1 and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def release(self) -> None:
        self._holds -= 1
        if self._holds == 0 and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection off."""
        if self.transport is not None:
            self.transport.abort()

    # ---- deadlines and heartbeats

    def _progress(self) -> None:
        """Something of the connection's beginning or end has happened."""
        session = self.session
        if session.ending:
            if not session.hang_up and session.router is not None and self._opened:
                self._opened = False
                self._deadline = self._loop.call_later(self._server.limits.close_s, self.abort)
        elif session.router is not None:
            self._opened = True
            self._open()

    def _open(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        session = self.session
        log.info("connection %s opened by %s %s", session.name, session.user, session.given_name)
        if session.heartbeat_s:
            self._beat = self._loop.call_later(session.heartbeat_s / 2, self._on_beat)

    def _too_slow(self) -> None:
        self.session.close_reason = f"handshake took longer than {self._server.limits.handshake_s:g} s"
        self.abort()

    def _on_beat(self) -> None:
        """Every half interval: say something if nothing was said, and hang up on a peer silent for two intervals."""
        session = self.session
        heard = session.wire.heard
        self._silent_beats = self._silent_beats + 1 if heard == self._heard and not self._holds else 0
        self._heard = heard
        if self._silent_beats >= 4:
            session.close_reason = f"missed heartbeats from the client, timeout: {session.heartbeat_s} s"
            self.abort()
            return
        if not self._written:
            session.wire.heartbeat()
            session.touch()
        self._written = False
        self._beat = self._loop.call_later(session.heartbeat_s / 2, self._on_beat)
