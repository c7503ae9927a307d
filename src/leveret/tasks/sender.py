"""A program's connection for sending: one per process, whatever threads and event loops send through it.

It is opened by the first message, and by the first one after a fork. It runs on the client's background loop, so that
sending from a plain function and from a coroutine are the same thing with two ways to wait. Used by workqueue.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence

from leveret.client.blocking import BlockingConnection, connect_blocking
from leveret.client.threads import LoopThread, loop_thread
from leveret.tasks.outbox import Outbox, Parcel


class _Open:
    """What one process has open."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None
        self.connection: BlockingConnection | None = None
        self.outbox: Outbox | None = None

    @property
    def ready(self) -> bool:
        return self.connection is not None and self.connection.connected


class Sender:
    """`url` is asked for when it is needed: finding it may mean starting a broker."""

    def __init__(self, url: Callable[[], str], name: str) -> None:
        self._url = url
        self._name = name
        # By process: a fork's lock may have been held, and what its parent opened must not be collected (closed) here.
        self._open: dict[int, _Open] = {}

    def send(self, parcel: Parcel, timeout_s: float) -> None:
        """See Outbox.put. Connecting, if need be, has bounds of its own."""
        thread, outbox = self._outbox()
        thread.run(outbox.put(parcel, timeout_s), timeout_s, "the broker's confirm")

    async def send_async(self, parcel: Parcel, timeout_s: float) -> None:
        thread, outbox = await self._outbox_async()
        future = thread.link(lambda: asyncio.ensure_future(outbox.put(parcel, timeout_s)))
        # Who stops waiting does not stop the message: it may be on its way.
        await asyncio.shield(asyncio.wrap_future(future))

    def send_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        """See Outbox.put_many."""
        thread, outbox = self._outbox()
        return thread.run(outbox.put_many(parcels, timeout_s), timeout_s, "the broker's confirms")

    async def send_many_async(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        thread, outbox = await self._outbox_async()
        outcomes: list[Exception | None] = []

        async def put() -> None:
            outcomes.extend(await outbox.put_many(parcels, timeout_s))

        await asyncio.shield(asyncio.wrap_future(thread.link(lambda: asyncio.ensure_future(put()))))
        return outcomes

    async def _outbox_async(self) -> tuple[LoopThread, Outbox]:
        return self._outbox() if self._mine().ready else await asyncio.to_thread(self._outbox)

    def close(self) -> None:
        """The next message opens it again."""
        mine = self._mine()
        with mine.lock:
            if mine.connection is not None:
                mine.connection.close()

    def _mine(self) -> _Open:
        return self._open.setdefault(os.getpid(), _Open())

    def _outbox(self) -> tuple[LoopThread, Outbox]:
        mine = self._mine()
        with mine.lock:
            if mine.connection is None or mine.connection.closed or mine.thread is None or mine.outbox is None:
                mine.connection = connect_blocking(self._url(), name=self._name)
                mine.thread = loop_thread()
                mine.outbox = Outbox(mine.connection.core)
            elif not mine.connection.connected:
                self._url()  # it reconnects by itself, if there is a broker: a local one may have to be started again
            return mine.thread, mine.outbox
