"""The one background thread of a process on whose event loop all blocking connections live.

Heartbeats go on there while the program's own threads are busy. A fork takes no thread along: the child makes its own,
and lets go of its parent's sockets, which would otherwise stay open as long as the child lives. Used by
client/blocking.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar
from weakref import WeakSet

from leveret.client.connection import Connection
from leveret.client.looping import new_loop
from leveret.client.publisher import Publisher
from leveret.errors import ConnectionLost, ProtocolMisuse, WaitTimeout

log = logging.getLogger(__name__)
T = TypeVar("T")

GRACE_S: Final = 5.0
"""What is waited for on the loop has its own bound; beyond that plus this, the loop itself is stuck."""

EXIT_S: Final = 2.0


class LoopThread:
    """Runs coroutines for other threads (`run`), and plain calls in their order (`post`)."""

    def __init__(self) -> None:
        self.pid: Final = os.getpid()
        self.connections: WeakSet[Connection | Publisher] = WeakSet()
        self._loop = new_loop()
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._awake = False
        self._thread = threading.Thread(target=self._main, name="leveret-client", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @property
    def alive(self) -> bool:
        return self.pid == os.getpid() and self._thread.is_alive()

    def check(self) -> None:
        """Raise if it cannot work for the calling thread."""
        if self.pid != os.getpid():
            raise ConnectionLost(f"the connection belongs to process {self.pid}: connect again after a fork")
        if threading.current_thread() is self._thread:
            raise ProtocolMisuse("a blocking call was made on the client's own thread, where it would wait for itself")
        if not self._thread.is_alive():
            raise ConnectionLost("the client's thread has ended: the program is exiting")

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float, what: str) -> T:
        """The result of `work`, which is bounded by `timeout_s` itself."""
        try:
            self.check()
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s + GRACE_S)
        except WaitTimeout:
            raise
        except TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise WaitTimeout(f"{what} did not come within {timeout_s + GRACE_S:g} s: the client is stuck") from None
        except BaseException:  # the program was interrupted while it waited
            future.cancel()
            raise

    def post(self, call: Callable[..., object], *values: Any) -> None:
        """Have `call` called on the loop, after all that was posted before."""
        self._posted.append((call, values))
        if self._awake:
            return
        try:
            self._awake = True
            self._loop.call_soon_threadsafe(self._run_posted)
        except BaseException:  # Ctrl-C between the two: a loop taken for awake would never be woken again
            self._awake = False
            self._loop.call_soon_threadsafe(self._run_posted)
            raise

    def _run_posted(self) -> None:
        self._awake = False
        for _ in range(len(self._posted)):
            call, values = self._posted.popleft()
            try:
                call(*values)
            except Exception:
                log.exception("%r failed", call)

    def link(self, source: Callable[[], asyncio.Future[None] | None]) -> Future[None]:
        """Post `source`; what its future brings (None: at once), for other threads to wait for.

        Cancelling it keeps `source` from being called, or comes too late and is refused.
        """
        future: Future[None] = Future()

        def copy(done: asyncio.Future[None]) -> None:
            error = done.exception()
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        def begin() -> None:
            if not future.set_running_or_notify_cancel():
                return  # given up before it was begun
            try:
                waiting = source()
            except Exception as error:
                future.set_exception(error)
                return
            if waiting is None:
                future.set_result(None)
            else:
                waiting.add_done_callback(copy)

        self.post(begin)
        return future

    async def _close_all(self) -> None:
        for connection in list(self.connections):
            await connection.close(EXIT_S)

    def finish(self) -> None:
        """At exit: close what is open, so that acknowledgements still on their way are not lost."""
        if self.alive and self.connections:
            future = asyncio.run_coroutine_threadsafe(self._close_all(), self._loop)
            try:
                future.result(EXIT_S)
            except Exception as error:
                log.debug("connections were not closed in good order at exit: %r", error)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's sockets, without a word on them.

        Each is replaced by /dev/null under its number, so that closing it later harms nobody.
        """
        null = os.open(os.devnull, os.O_RDWR)
        for connection in list(self.connections):
            number = connection.fileno()
            if number >= 0:
                os.dup2(null, number, inheritable=False)
        os.close(null)


class _Process:
    """This process's thread; made when first asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None
        self.abandoned: list[LoopThread] = []  # kept, because collecting a parent's loop would close what it shares

    def get(self) -> LoopThread:
        with self.lock:
            if self.thread is None or not self.thread.alive:
                self.thread = LoopThread()
            return self.thread

    def forked(self) -> None:
        self.lock = threading.Lock()  # it may have been held by a thread that does not exist here
        thread, self.thread = self.thread, None
        if thread is not None:
            self.abandoned.append(thread)
            thread.abandon()

    def finish(self) -> None:
        if self.thread is not None:
            self.thread.finish()


_process = _Process()
atexit.register(_process.finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _process.forked())


def loop_thread() -> LoopThread:
    """The background thread of this process."""
    return _process.get()
