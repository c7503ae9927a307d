"""A program's connection for sending: one per process, whatever threads and event loops send through it.

It is opened by the first message, and by the first one after a fork. It runs on the client's background loop, so that
sending from a plain function and from a coroutine are the same thing with two ways to wait. Used by workqueue.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from leveret.client.blocking import BlockingConnection, connect_blocking
from leveret.client.threads import LoopThread, loop_thread
from leveret.tasks.cancelling import cancel
from leveret.tasks.outbox import Outbox, Parcel
from leveret.tasks.replies import Replies
from leveret.tasks.topology import Queue


class _Open:
    """What one process has open."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None
        self.connection: BlockingConnection | None = None
        self.outbox: Outbox | None = None
        self.replies = Replies()

    @property
    def ready(self) -> bool:
        return self.connection is not None and self.connection.connected

    async def put(self, parcel: Parcel, timeout_s: float) -> None:
        """See Outbox.put."""
        await self.listen(parcel.properties.reply_to is not None)
        assert self.outbox is not None
        await self.outbox.put(parcel, timeout_s)

    async def put_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        """See Outbox.put_many."""
        await self.listen(any(parcel.properties.reply_to is not None for parcel in parcels))
        assert self.outbox is not None
        return await self.outbox.put_many(parcels, timeout_s)

    async def listen(self, wanted: bool) -> None:
        """For answers, before there can be any."""
        if wanted and self.connection is not None:
            await self.replies.open(self.connection.core)

    async def cancel(self, id: str, timeout_s: float) -> None:
        assert self.connection is not None
        await cancel(self.connection.core, id, timeout_s)


class Sender:
    """`url` is asked for when it is needed: finding it may mean starting a broker."""

    def __init__(self, url: Callable[[], str], name: str, queue: Callable[[str], Queue]) -> None:
        self._url = url
        self._name = name
        self._queue = queue
        # By process: a fork's lock may have been held, and what its parent opened must not be collected (closed) here.
        self._open: dict[int, _Open] = {}

    @property
    def replies(self) -> Replies:
        """Those of this process."""
        return self._mine().replies

    def send(self, parcel: Parcel, timeout_s: float) -> None:
        """See Outbox.put. Connecting, if need be, has bounds of its own."""
        mine, thread = self._ready()
        thread.run(mine.put(parcel, timeout_s), timeout_s, "the broker's confirm")

    async def send_async(self, parcel: Parcel, timeout_s: float) -> None:
        mine, thread = await self._ready_async()
        await _on(thread, lambda: mine.put(parcel, timeout_s))

    def send_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        """See Outbox.put_many."""
        mine, thread = self._ready()
        return thread.run(mine.put_many(parcels, timeout_s), timeout_s, "the broker's confirms")

    async def send_many_async(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        mine, thread = await self._ready_async()
        outcomes: list[Exception | None] = []

        async def put() -> None:
            outcomes.extend(await mine.put_many(parcels, timeout_s))

        await _on(thread, put)
        return outcomes

    def cancel(self, id: str, timeout_s: float) -> None:
        """See cancelling.cancel."""
        mine, thread = self._ready()
        thread.run(mine.cancel(id, timeout_s), timeout_s, "the broker's confirm")

    async def cancel_async(self, id: str, timeout_s: float) -> None:
        mine, thread = await self._ready_async()
        await _on(thread, lambda: mine.cancel(id, timeout_s))

    async def _ready_async(self) -> tuple[_Open, LoopThread]:
        return self._ready() if self._mine().ready else await asyncio.to_thread(self._ready)

    def close(self) -> None:
        """The next message opens it again."""
        mine = self._mine()
        with mine.lock:
            if mine.connection is not None:
                mine.connection.close()
                mine.replies.fail()
                mine.replies = Replies()

    def _mine(self) -> _Open:
        return self._open.setdefault(os.getpid(), _Open())

    def _ready(self) -> tuple[_Open, LoopThread]:
        mine = self._mine()
        with mine.lock:
            if mine.connection is None or mine.connection.closed or mine.thread is None:
                mine.connection = connect_blocking(self._url(), name=self._name)
                mine.thread = loop_thread()
                mine.outbox = Outbox(mine.connection.core, self._queue)
            elif not mine.connection.connected:
                self._url()  # it reconnects by itself, if there is a broker: a local one may have to be started again
            return mine, mine.thread


async def _on(thread: LoopThread, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the client's loop, for a coroutine of the program's. Who stops waiting stops nothing: it may be on its way."""
    await asyncio.shield(asyncio.wrap_future(thread.link(lambda: asyncio.ensure_future(work()))))
