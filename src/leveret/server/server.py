"""The server: listens, keeps time, flushes once per loop turn, and stops in good order.

Stopping, in order (SIGTERM): 1. no more connections are accepted; 2. every client is told connection.close 320, and what
it held unacknowledged goes back to its queue; 3. those that do not answer within `close_s` are cut off; 4. the store
commits what was gathered and is closed. Guarantee: a confirmed message is on disk at every moment of this.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from leveret.broker.broker import Broker
from leveret.broker.quotas import Bounds
from leveret.server import verbs
from leveret.server.config import Config, Limits
from leveret.server.gauges import Gauges
from leveret.server.handshake import Handshake
from leveret.server.protocol import Protocol
from leveret.server.session import Session
from leveret.server.tls import TlsListener, make_context
from leveret.server.turns import Turns
from leveret.server.unfinished import Unfinished
from leveret.server.watch import Watch
from leveret.store.database import Database
from leveret.store.store import Store
from leveret.wire.methods import Method

log = logging.getLogger("leveret.server")
RESERVED_FILES: Final = 64
"""For the store and others, besides those of the HTTP API, which counts its own."""


class Server:
    """`gauges` and `open_database` are for tests, which put in their own."""

    def __init__(
        self,
        config: Config,
        gauges: Gauges | None = None,
        open_database: Callable[[Path], Database] = Database,
    ) -> None:
        self.config = config
        self.limits = config.limits
        self.loop = asyncio.get_running_loop()
        context = None if config.tls_port is None else make_context(config.ssl_options)
        self._tls = None if context is None else TlsListener(self, context)
        self.handshake = Handshake(config)
        self.store = Store(config.directory, self._from_store_thread, self._fatal, open_database)
        self.broker = Broker(
            self.store, consumer_timeout_ms=int(config.limits.consumer_timeout_s * 1000), bounds=bounds(config.limits)
        )
        self.broker.timers.changed = self._set_timer
        self.watch = Watch(self.broker.alarms, self.limits, gauges or Gauges(), config.directory, self.turn)
        self.store.on_stuck = self.watch.stuck
        self.failure: BaseException | None = None
        self.stopped = asyncio.Event()
        self.started_at_ms = self.now_ms()
        self.sockets_max = sockets_max(config)
        self.unfinished = Unfinished(config.limits.unfinished_bytes_max)
        self._listeners: list[asyncio.Server] = []
        self.port = 0  # in use, also where the system was to choose one; 0: not listening
        self.tls_port = 0
        self._protocols: dict[Session, Protocol] = {}
        self.turns = Turns(self.loop, self._begin_turn, self._end_turn)
        self._reminder: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._held: list[Protocol] = []
        self._numbers = 0
        self._closing = False

    # ---- start and stop

    async def start(self) -> None:
        """Recover what the store has and listen. StoreError or OSError if that cannot be."""
        self.turn()
        self.broker.recover(self.store.recover())
        self.store.start()
        self.watch.start(self.loop)
        try:
            await self._listen()
        except BaseException:
            self.store.close()
            raise

    async def _listen(self) -> None:
        config = self.config
        if config.tcp:
            listener = await self.loop.create_server(self._accept, config.host, config.port, backlog=1024)
            self._listeners.append(listener)
            self.port = listener.sockets[0].getsockname()[1]
        if self._tls is not None and config.tls_port is not None:
            await self._tls.listen(config.host, config.tls_port)
            self.tls_port = self._tls.port
        if config.socket is not None:
            remove_stale(config.socket)
            listener = await self.loop.create_unix_server(self._accept, str(config.socket), backlog=1024)
            os.chmod(config.socket, 0o600)
            self._listeners.append(listener)

    async def stop(self) -> None:
        """See the module's head. Safe to call twice."""
        if self._closing:
            await self.stopped.wait()
            return
        self._closing = True
        for listener in self._listeners:
            listener.close()
        if self._tls is not None:
            self._tls.close()
        self.turn()
        self.watch.stop()
        self.broker.rest()
        for session in list(self._protocols):
            if session.router is None:
                session.end("the broker stops")
            else:
                session.close(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
        deadline = self.loop.time() + self.limits.close_s
        while self._protocols and self.loop.time() < deadline:
            await asyncio.sleep(0.01)
        for protocol in list(self._protocols.values()):
            protocol.abort()
        self.turns.finish()
        self.store.close()
        if self.config.socket is not None:
            self.config.socket.unlink(missing_ok=True)
        self.stopped.set()

    def _fatal(self, error: BaseException) -> None:
        """The store failed: nothing more can be promised, so nothing more is. The process ends with an error."""
        log.critical("the message store failed, the broker stops: %s", error)
        self.failure = error
        for protocol in list(self._protocols.values()):
            protocol.abort()
        self.stopped.set()

    # ---- connections

    def _accept(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, Protocol(self))

    def connected(self, protocol: Protocol) -> None:
        self._protocols[protocol.session] = protocol
        if self.crowded:
            protocol.session.close_reason = "there are as many connections as the system allows files"
            protocol.abort()

    @property
    def crowded(self) -> bool:
        """One more connection would need one of the files that the store and others may need."""
        securing = 0 if self._tls is None else self._tls.securing
        return len(self._protocols) + securing > self.sockets_max

    def disconnected(self, protocol: Protocol) -> None:
        self._protocols.pop(protocol.session, None)
        self.unfinished.changed(protocol.session, 0)
        self.broker.peers.pop(id(protocol.session), None)
        if protocol.held_by_store:
            self._held.remove(protocol)

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def on_method(self, session: Session, channel: int, method: Method) -> None:
        if channel == 0:
            self.handshake.call(session, method)
        else:
            verbs.call(session, channel, method)

    # ---- time, and turns of the loop

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def turn(self) -> None:
        """Something is about to happen: the broker learns the time, and all of this turn is flushed at its end."""
        self.turns.begin()

    def _begin_turn(self) -> None:
        self.broker.at(self.now_ms())

    def _set_timer(self) -> None:
        at = self.broker.timers.next_at()
        if self._timer is not None and self._timer_at <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        delay = max(0, at - self.now_ms()) / 1000
        self._timer = self.loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.turn()
        if self.broker.timers.next_at():
            self._set_timer()

    def _end_turn(self, quiet: bool) -> None:
        self.broker.flush(quiet)
        self.turns.full = self.store.pending_bytes > self.limits.pending_bytes_max
        if self.store.wait_ms:
            self._remind_in(self.store.wait_ms / 1000)
        if self._held and self.store.pending_bytes < self.limits.pending_bytes_max // 2:
            self._release_held()

    def _remind_in(self, delay_s: float) -> None:
        """The store left something for later; another turn may never come by itself."""
        at_s = self.loop.time() + delay_s
        if self._reminder is not None:
            if self._reminder.when() <= at_s:
                return
            self._reminder.cancel()
        self._reminder = self.loop.call_at(at_s, self._remind)

    def _remind(self) -> None:
        self._reminder = None
        self.turn()

    def hold_for_store(self, protocol: Protocol) -> None:
        """A client sent something while too much waits for the disk."""
        if self.store.pending_bytes > self.limits.pending_bytes_max and not protocol.held_by_store:
            protocol.held_by_store = True
            protocol.hold()
            self._held.append(protocol)

    def _release_held(self) -> None:
        held = self._held
        self._held = []
        for protocol in held:
            protocol.held_by_store = False
            protocol.release()

    # ---- the store's thread calls back

    def _from_store_thread(self, call: Callable[[], None]) -> None:
        try:
            self.loop.call_soon_threadsafe(self._from_store, call)
        except RuntimeError:
            log.debug("the loop has ended, the store's report is dropped")

    def _from_store(self, call: Callable[[], None]) -> None:
        self.turn()
        call()


def sockets_max(config: Config) -> int:
    """How many of the files that the system allows are left for clients."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    others = RESERVED_FILES + (config.management.connections_max if config.management.enabled else 0)
    return max(1, files - others) if files != resource.RLIM_INFINITY else sys.maxsize


def bounds(limits: Limits) -> Bounds:
    return Bounds(
        connections=limits.connections_max,
        queues=limits.queues_max,
        exchanges=limits.exchanges_max,
        bindings=limits.bindings_max,
        consumers=limits.consumers_max,
        unacked=limits.unacked_max,
        nesting=limits.nesting_max,
    )


def remove_stale(path: Path) -> None:
    """A Unix socket left by a broker that was killed is in the way; the store's lock says that none is running."""
    if path.is_socket():
        path.unlink()
