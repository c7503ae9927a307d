"""A program's connection for sending: one per process, whatever threads and event loops send through it.

It is opened by the first message, and by the first one after a fork. It runs on the client's background loop, so that
sending from a plain function and from a coroutine are the same thing with two ways to wait. Used by workqueue.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic as _now_s
from typing import Any, Final, TypeVar

from leveret.client import Connection
from leveret.client.blocking import BlockingConnection, connect_blocking
from leveret.client.threads import LoopThread, loop_thread
from leveret.client.waiting import bounded
from leveret.errors import (
    ChannelError,
    CodecError,
    LeveretError,
    Nacked,
    ProtocolMisuse,
    TaskError,
    Unroutable,
    WaitTimeout,
)
from leveret.tasks.burst import CLOSE_S, Burst
from leveret.tasks.cancelling import cancel
from leveret.tasks.lanes import Lanes
from leveret.tasks.locks import Locks
from leveret.tasks.outbox import Outbox, Parcel
from leveret.tasks.replies import Replies
from leveret.tasks.topology import Queue

T = TypeVar("T")
Order = Callable[[Connection], Coroutine[Any, Any, T]]
"""What is to be done over a connection."""

NOT_SENT: Final = (Nacked, ChannelError, TaskError, ProtocolMisuse, CodecError)
"""After these a message is in no queue."""


class _NotNow(Exception):
    """It cannot go out at once."""


HARDER: Final = (_NotNow, Nacked, Unroutable)
"""What Outbox.put sees to, and Outbox.post does not."""


class _Open:
    """What one process has open."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._waiting = 0
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None
        self.connection: BlockingConnection | None = None
        self.outbox: Outbox | None = None
        self.burst: Burst | None = None
        self.lanes: Lanes | None = None
        self.locks: Locks | None = None
        self.replies = Replies()

    @property
    def ready(self) -> bool:
        return self.connection is not None and self.connection.connected

    def publish(self, parcel: Parcel, timeout_s: float) -> bool:
        """See Burst.send. On the calling thread; False: use `post`."""
        assert self.outbox is not None and self.burst is not None
        way = self.outbox.known_way(parcel) if self.ready and self._needs_nothing(parcel) else None
        return way is not None and self.burst.send(way, parcel.body, timeout_s)

    def _needs_nothing(self, parcel: Parcel) -> bool:
        """Before it is sent, or all is there."""
        assert self.connection is not None
        heard = parcel.properties.reply_to is None or self.replies.opened(self.connection.core)
        return heard and parcel.lock is None

    def post(self, parcel: Parcel) -> asyncio.Future[None]:
        """See Outbox.post. _NotNow: use `put`."""
        assert self.outbox is not None
        confirm = self.outbox.post(parcel) if self._needs_nothing(parcel) else None
        if confirm is None:
            raise _NotNow
        return confirm

    async def put(self, parcel: Parcel, timeout_s: float) -> None:
        """See Lanes.put; Duplicate if it cannot have its lock."""
        timeout_s = await self._connected(timeout_s)
        await self.listen(parcel.properties.reply_to is not None)
        assert self.lanes is not None
        await self._lock(parcel)
        try:
            await self.lanes.put(parcel, timeout_s)
        except NOT_SENT:
            await self._unlock(parcel)
            raise

    async def put_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        """See Lanes.put_many; Duplicate for those that cannot have their lock."""
        timeout_s = await self._connected(timeout_s)
        await self.listen(any(parcel.properties.reply_to is not None for parcel in parcels))
        assert self.lanes is not None
        outcomes = [None if parcel.lock is None else await self._refused(parcel) for parcel in parcels]
        places = [place for place, refused in enumerate(outcomes) if refused is None]
        sent = await self.lanes.put_many([parcels[place] for place in places], timeout_s)
        for place, outcome in zip(places, sent, strict=True):
            outcomes[place] = outcome
            if isinstance(outcome, NOT_SENT):
                await self._unlock(parcels[place])
        return outcomes

    async def _connected(self, timeout_s: float) -> float:
        """Wait for a connection in all the time there is; a verb would wait for it no longer than for a reply. What is left then."""
        assert self.connection is not None
        until_s = _now_s() + timeout_s
        self._waiting += 1
        try:
            await bounded(self.connection.core.established(), timeout_s, "a connection to the broker")
        finally:
            self._waiting -= 1
        return max(0.0, until_s - _now_s())

    async def revive(self) -> None:
        """Before each attempt to connect again: a local broker may have to be started, if anybody waits for it. One that was just
        killed may have seemed to listen when it was looked for."""
        if self._waiting:
            await asyncio.to_thread(self._url)

    async def _refused(self, parcel: Parcel) -> Exception | None:
        try:
            await self._lock(parcel)
        except LeveretError as error:
            return error
        return None

    async def _lock(self, parcel: Parcel) -> None:
        """Before it is sent: if this process dies between, the lock goes with its time, and nothing ran twice."""
        if parcel.lock is not None:
            assert self.locks is not None
            await self.locks.take(parcel.lock, parcel.properties.message_id or "")

    async def _unlock(self, parcel: Parcel) -> None:
        """It is in no queue for certain. Else it may have arrived, and keeps its lock."""
        if parcel.lock is not None:
            assert self.locks is not None
            with suppress(LeveretError):
                await self.locks.give(parcel.lock, parcel.properties.message_id or "")

    async def listen(self, wanted: bool) -> None:
        """For answers, before there can be any."""
        if wanted and self.connection is not None:
            await self.replies.open(self.connection.core)

    async def order(self, act: Order[T]) -> T:
        assert self.connection is not None
        return await act(self.connection.core)


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
        """See Outbox.put, and Duplicate. Connecting, if need be, has bounds of its own."""
        mine, thread = self._ready()
        thread.check()
        until_s = _now_s() + timeout_s
        try:
            if not mine.publish(parcel, timeout_s):
                thread.link(lambda: mine.post(parcel)).result(timeout_s)
        except HARDER:
            left_s = max(0.0, until_s - _now_s())
            thread.run(mine.put(parcel, left_s), left_s, "the broker's confirm")
        except TimeoutError:
            raise _late(parcel, timeout_s) from None

    async def send_async(self, parcel: Parcel, timeout_s: float) -> None:
        mine, thread = await self._ready_async()
        until_s = _now_s() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(asyncio.wrap_future(thread.link(lambda: mine.post(parcel))))
        except HARDER:
            left_s = max(0.0, until_s - _now_s())
            await _on(thread, lambda: mine.put(parcel, left_s))
        except TimeoutError:
            raise _late(parcel, timeout_s) from None

    def send_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        """See Outbox.put_many; of what is unique Duplicate besides."""
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
        self.order(partial(cancel, id=id, timeout_s=timeout_s), timeout_s)

    async def cancel_async(self, id: str, timeout_s: float) -> None:
        await self.order_async(partial(cancel, id=id, timeout_s=timeout_s))

    def order(self, act: Order[T], timeout_s: float) -> T:
        """`act` on this process's connection. Raises what it does, and WaitTimeout."""
        mine, thread = self._ready()
        return thread.run(mine.order(act), timeout_s, "the broker's answer")

    async def order_async(self, act: Order[T]) -> T:
        mine, thread = await self._ready_async()
        answers: list[T] = []

        async def do() -> None:
            answers.append(await mine.order(act))

        await _on(thread, do)
        return answers[0]

    async def _ready_async(self) -> tuple[_Open, LoopThread]:
        return self._ready() if self._mine().ready else await asyncio.to_thread(self._ready)

    def close(self) -> None:
        """The next message opens it again."""
        mine = self._mine()
        with mine.lock:
            if mine.connection is not None:
                if mine.burst is not None and mine.thread is not None:
                    mine.thread.run(mine.burst.close(), CLOSE_S, "the end of a connection")
                mine.connection.close()
                mine.replies.fail()
                mine.replies = Replies()

    def _mine(self) -> _Open:
        pid = os.getpid()
        return self._open.get(pid) or self._open.setdefault(pid, _Open(self._url))

    def _ready(self) -> tuple[_Open, LoopThread]:
        mine = self._mine()
        with mine.lock:
            if mine.connection is None or mine.connection.closed or mine.thread is None:
                mine.connection = connect_blocking(self._url(), name=self._name)
                mine.thread = loop_thread()
                core = mine.connection.core
                core.before_attempt = mine.revive
                mine.outbox = Outbox(core, self._queue)
                mine.lanes = Lanes(core, mine.outbox)
                mine.locks = Locks(core)
                mine.burst = Burst(core, mine.thread)
            elif not mine.connection.connected:
                self._url()  # it reconnects by itself, if there is a broker: a local one may have to be started again
            return mine, mine.thread


def _late(parcel: Parcel, timeout_s: float) -> WaitTimeout:
    return WaitTimeout(
        f"the broker's confirm for a message to queue {parcel.queue!r} did not come within {timeout_s:g} s"
    )


async def _on(thread: LoopThread, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the client's loop, for a coroutine of the program's. Who stops waiting stops nothing: it may be on its way."""
    await asyncio.shield(asyncio.wrap_future(thread.link(lambda: asyncio.ensure_future(work()))))
