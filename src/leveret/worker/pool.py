"""Where tasks run: threads for plain functions, one event loop on a thread of its own for async ones.

Neither is the client's loop, so that heartbeats and signals are served whatever a task does. The threads are daemons:
a task that does not end cannot keep a worker from ending. Used by worker.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from leveret.client.looping import new_loop

log = logging.getLogger("leveret.worker")
T = TypeVar("T")

CANCEL_S: Final = 5.0
"""How long cancelled async tasks may take over their `finally`."""


Ended = Callable[[Any, BaseException | None], None]
"""Takes the result of what was submitted, or what it raised."""


class Threads:
    """At most `number` threads, each started when there is more work than idle ones."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._started = 0
        self._work: SimpleQueue[tuple[Callable[[], Any], Ended]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    def submit(self, call: Callable[[], Any], ended: Ended) -> None:
        """`ended` is called on the thread. RuntimeError if no thread is to be had."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._started < self._number:
                name = f"leveret-task-{self._started + 1}"
                threading.Thread(target=self._main, name=name, daemon=True).start()
                self._started += 1
        self._work.put((call, ended))

    def _main(self) -> None:
        while True:
            call, ended = self._work.get()
            result: Any = None
            raised: BaseException | None = None
            try:
                result = call()
            except BaseException as error:
                raised = error
            with self._lock:
                self._idle += 1
            ended(result, raised)
            # An idle thread must hold on to nothing of its last task.
            del call, ended, result, raised


class TaskLoop:
    """An event loop on its own thread, started by the first task."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._loop is None:
            self._loop = new_loop()
            threading.Thread(target=self._main, args=(self._loop,), name="leveret-tasks", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while True:
            try:
                loop.run_forever()
            except BaseException:  # SystemExit of something a task left running: no reason for the others to end
                log.exception("an asyncio task ended the event loop of all tasks, which goes on")

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    async def cancel(self) -> None:
        """Cancel what runs and wait, for CANCEL_S at most, until it has cleaned up. Called on another loop."""
        if self._loop is not None:
            future = asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop)
            await asyncio.wait([asyncio.wrap_future(future)], timeout=CANCEL_S)

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
