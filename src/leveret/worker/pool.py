"""Where tasks run: threads for plain functions, one event loop on a thread of its own for async ones.

Neither is the client's loop, so that heartbeats and signals are served whatever a task does. The threads are daemons:
a task that does not end cannot keep a worker from ending. They end with their worker. Used by worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from leveret.client.looping import new_loop

log = logging.getLogger("leveret.worker")
T = TypeVar("T")

CANCEL_S: Final = 5.0
"""How long cancelled async tasks may take over their `finally`."""


LOOK_S: Final = 0.001
"""So long a brief task may wait for another one on its thread."""

HELPERS_MAX: Final = min(32, (os.cpu_count() or 1) + 4)
"""As asyncio has it."""

Ended = Callable[[Any, BaseException | None], None]
"""Takes the result of what was submitted, or what it raised."""


class Threads:
    """At most `number` threads, each started when there is more work than idle ones.

    Work that is said to be brief waits for a thread that runs: waking one for each costs more than it takes, for they take
    turns with the interpreter's lock. If none comes to it within LOOK_S, another is woken.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._work: deque[tuple[Callable[[], Any], Ended]] = deque()
        self._lock = threading.Lock()
        self._awake = 0
        self._asleep: list[threading.Lock] = []
        """Of each idle thread what it waits for, the last to fall asleep at the end."""
        self._started = 0
        self._ended = False
        self._first: object = None
        self._watching = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looked: Callable[[], None] = lambda: None

    def serving(self, loop: asyncio.AbstractEventLoop, looked: Callable[[], None]) -> Self:
        """From now on for this event loop, where `submit` and `looked` are called: that when it was seen how brief work fares."""
        self._loop = loop
        self._looked = looked
        self._watching = False
        return self

    def submit(self, call: Callable[[], Any], ended: Ended, brief: bool = False) -> None:
        """`ended` is called on the thread. RuntimeError if no thread is to be had, as after `end`."""
        work = (call, ended)
        with self._lock:
            if self._ended:
                raise RuntimeError("the threads have ended")
            self._work.append(work)
            if brief and self._awake and self._loop is not None:
                if not self._watching:
                    self._watch(self._loop)
                return
            try:
                self._wake()
            except RuntimeError:
                self._work.remove(work)
                raise

    def end(self) -> None:
        """Each thread ends as soon as it has nothing to do, and is not waited for."""
        with self._lock:
            self._ended = True
            while self._asleep:
                self._wake()

    def _wake(self) -> None:
        """One more, if there is one."""
        if self._asleep:
            self._awake += 1
            self._asleep.pop().release()
        elif self._started < self._number:
            name = f"leveret-task-{self._started + 1}"
            threading.Thread(target=self._main, name=name, daemon=True).start()
            self._started += 1
            self._awake += 1

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = True
        self._first = self._work[0]
        loop.call_later(LOOK_S, self._look, loop)

    @property
    def looks(self) -> bool:
        """Whether `looked` is about to be called, while there is more to do."""
        return self._watching and len(self._work) > 0

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work that waits while nothing is taken gets another thread."""
        with self._lock:
            self._watching = False
            if self._work:
                stuck = self._work[0] is self._first
                self._watch(loop)
                if stuck:
                    with suppress(RuntimeError):  # no thread to be had: it waits for those there are
                        self._wake()
        self._looked()

    def _main(self) -> None:
        sleep = threading.Lock()
        sleep.acquire()
        while True:
            with self._lock:
                work = self._work.popleft() if self._work else None
                if work is None:
                    self._awake -= 1
                    if self._ended:
                        return
                    self._asleep.append(sleep)
            if work is None:
                sleep.acquire()
                continue
            call, ended = work
            result: Any = None
            raised: BaseException | None = None
            try:
                result = call()
            except BaseException as error:
                raised = error
            ended(result, raised)
            # An idle thread must hold on to nothing of its last task.
            del work, call, ended, result, raised


class Helpers(ThreadPoolExecutor):
    """For asyncio.to_thread in tasks: on threads that are daemons too, where a pool's own would be waited for at the end."""

    def __init__(self) -> None:
        super().__init__(HELPERS_MAX)
        self._threads_of_ours = Threads(HELPERS_MAX)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def ended(result: Any, raised: BaseException | None) -> None:
            if raised is not None:
                future.set_exception(raised)
            elif not future.cancelled():
                future.set_result(result)

        def call() -> Any:
            return fn(*args, **kwargs) if future.set_running_or_notify_cancel() else None

        self._threads_of_ours.submit(call, ended)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Never waits: what does not end keeps nobody."""
        self._threads_of_ours.end()


class TaskLoop:
    """An event loop on its own thread, started by the first task."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = False

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._loop is None:
            self._loop = new_loop()
            self._loop.set_default_executor(Helpers())
            threading.Thread(target=self._main, args=(self._loop,), name="leveret-tasks", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while not self._ended:
            try:
                loop.run_forever()
            except BaseException:  # SystemExit of something a task left running: no reason for the others to end
                log.exception("an asyncio task ended the event loop of all tasks, which goes on")
        with asyncio.Runner(loop_factory=lambda: loop):
            """Cancels what tasks have left running, waits until it has cleaned up, and closes the loop."""

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

    def end(self) -> None:
        """Called on another loop, when no task is to come. What tasks have left running is cancelled; it is not waited for."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop, self._loop)

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ended = True
        loop.stop()

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
