"""A connection for one thing: publish a message and wait for its confirm, in the thread that calls.

Who sends one message after another from a plain function waits for each, and handing it to the loop's thread and back takes
longer than the rest. So the loop opens such a connection, with one confirming channel, and then keeps its hands off: the
calling thread writes to the socket and reads from it. There is no heartbeat; it is meant to be closed when it has not been used
for a while. Not for TLS, whose stream belongs to the loop. Used by tasks/burst.

A processor that goes to sleep takes long to wake up. So while the broker confirms within AWAKE_S, the thread does not sleep for
so long, but gives way to whatever else wants to run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading
from contextlib import suppress
from time import monotonic
from typing import Final

from leveret.client.handshake import open_link
from leveret.client.publishing import Encoder
from leveret.client.session import Session
from leveret.client.transport import Link
from leveret.client.url import Target
from leveret.client.waiting import bounded
from leveret.errors import ConnectionLost, LeveretError
from leveret.wire.methods import ConnectionClose
from leveret.wire.properties import BasicProperties

log = logging.getLogger(__name__)

READ_BYTES: Final = 65_536
AWAKE_S: Final = 0.001


def can_be_opened(target: Target) -> bool:
    """Whether there are publishers to that broker, on this system."""
    return target.tls is None and hasattr(select, "poll")


async def open_publisher(target: Target, name: str | None, timeout_s: float) -> Publisher:
    """Raises what leveret.client.connect does."""
    publisher = await open_link(target, name, 0, timeout_s, Publisher)
    try:
        await bounded(publisher.lend(), timeout_s, "a confirming channel")
    except BaseException as error:
        publisher.end(ConnectionLost(f"the connection was given up while it was opened: {error}"))
        raise
    return publisher


class Publisher(Link):
    """Made by `open_publisher`. `publish` on any thread, by one at a time; everything else on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._session: Session | None = None
        self._using: Final = threading.Lock()
        self._encoder: Final = Encoder()
        self._lent = False
        self._number = -1
        self._quick = False

    @property
    def over(self) -> bool:
        """Nothing can be published by it any more."""
        return self._session is None or self._session.error is not None

    # ---- on the loop

    async def lend(self) -> None:
        """From now on the socket belongs to who publishes."""
        session = Session(self, 1)
        await session.open()
        await session.confirm_select()
        assert self._transport is not None
        self._transport.pause_reading()
        self._number = self.fileno()
        self._arrives = select.poll()
        self._arrives.register(self._number, select.POLLIN)
        self._leaves = select.poll()
        self._leaves.register(self._number, select.POLLOUT)
        self._lent = True
        self._session = session

    def look(self) -> None:
        """Hear what the broker has said while nobody published: it may wait for an answer before it stops."""
        if self._using.acquire(blocking=False):
            try:
                self._hear()
            finally:
                self._using.release()

    async def close(self, timeout_s: float = 10.0) -> bool:
        """In good order; False if somebody is publishing just now."""
        if self.error is not None:
            return True
        if not self._using.acquire(blocking=False):  # and never given back
            return False
        assert self._transport is not None
        self._lent = False
        self._transport.resume_reading()
        try:
            reply = self.replies.expect("connection.close-ok")
            self.send(0, ConnectionClose(200, "Goodbye"))
            await bounded(reply, timeout_s, "the reply to connection.close")
        except LeveretError as error:
            log.debug("the connection was not closed in good order: %s", error)
        self.end(ConnectionLost("the connection was closed by this program"))
        return True

    # ---- what a link has the loop do, and who publishes does himself

    def schedule(self) -> None:
        if not self._lent:
            super().schedule()

    def flush(self) -> None:
        if self._lent:
            with suppress(TimeoutError):  # last words, to a broker that does not read
                self._write(monotonic())
        else:
            super().flush()

    def _hang_up(self, transport: asyncio.Transport) -> None:
        self.loop.call_soon_threadsafe(super()._hang_up, transport)

    # ---- on the thread that publishes

    def publish(
        self, exchange: str, routing_key: str, properties: BasicProperties, body: bytes, timeout_s: float
    ) -> bool:
        """Send a mandatory message and wait for its confirm. False: nothing was sent, because somebody else is publishing, the
        broker takes nothing just now, or the connection is over.

        Raises Nacked, Unroutable, ConnectionLost (it may or may not have arrived), or TimeoutError. After the last two the
        connection is over.
        """
        if not self._using.acquire(blocking=False):
            return False
        try:
            self._hear()
            session = self._session
            if session is None or session.error is not None or self.blocked:
                return False
            payload, encoded = self._encoder.encode(exchange, routing_key, True, properties)
            confirm = session.publish(payload, encoded, body, (exchange, routing_key))
            assert confirm is not None
            try:
                self._await(confirm, monotonic() + timeout_s)
            except BaseException as error:  # Ctrl-C too: whose confirm comes next would have to be remembered
                self.end(ConnectionLost(f"a publish was given up: {error!r}"))
                raise
            confirm.result()
            return True
        finally:
            self._using.release()

    def _hear(self) -> None:
        if self.error is None and self._arrives.poll(0):
            self._read()

    def _await(self, confirm: asyncio.Future[None], until_s: float) -> None:
        self._write(until_s)
        awake_until_s = monotonic() + AWAKE_S
        while not confirm.done():
            if not self._quick or not self._watch(awake_until_s):
                self._wait(self._arrives, until_s)
            self._read()
        self._quick = monotonic() < awake_until_s

    def _watch(self, awake_until_s: float) -> bool:
        """Whether something arrives before that; whatever else wants to run, here or in another process, may do so meanwhile."""
        while monotonic() < awake_until_s:
            if self._arrives.poll(0):
                return True
            os.sched_yield()
        return False

    def _wait(self, readiness: select.poll, until_s: float) -> None:
        left_s = until_s - monotonic()
        if left_s <= 0 or not readiness.poll(left_s * 1000):
            raise TimeoutError

    def _write(self, until_s: float) -> None:
        left = memoryview(self.machine.take())
        while left and self.error is None:
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:
                self._wait(self._leaves, until_s)
            except OSError as error:
                self.connection_lost(error)

    def _read(self) -> None:
        try:
            data = os.read(self._number, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.connection_lost(error)
            return
        if data:
            self.data_received(data)
        else:
            self.connection_lost(None)
