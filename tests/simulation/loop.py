"""An event loop on virtual time: it never waits, but jumps to the moment when the next thing is due.

Everything runs in the context of a process (OWNER); one that is killed is forgotten, with all that it had planned.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from functools import partial
from typing import Any

OWNER: ContextVar[object] = ContextVar("owner", default=None)
"""The process, an object of any kind, that something is done by."""

TURNS_MAX = 200_000
"""At one and the same moment: something goes round in circles."""

THREAD_S = 60.0
"""Real seconds: the store's thread has something to say by then, or never."""


class Stalled(Exception):
    """Nothing is due any more, or things happen without end while no time passes."""


class _Jump(selectors.SelectSelector):
    """No file is ever ready; to wait is to jump."""

    jump: Callable[[float | None], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        self.jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`reports` is what other threads ask to be called: nothing is, until somebody takes it from there."""

    def __init__(self) -> None:
        self.reports: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._now_s = 0.0
        self._turns = 0
        self._thread = threading.get_ident()
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_left = 1_000
        selector = _Jump()
        selector.jump = self._jump
        super().__init__(selector)
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._now_s

    def _jump(self, timeout_s: float | None) -> None:
        if timeout_s is None:
            raise Stalled("nothing is due any more")
        if timeout_s > 0:
            self._now_s += timeout_s
            self._turns = 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise Stalled(f"no time passes: {self._ready}")  # type: ignore[attr-defined]

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        if threading.get_ident() == self._thread:
            return super().call_soon_threadsafe(callback, *args, context=context)
        self.reports.put(partial(callback, *args))
        return None

    def report(self) -> Callable[[], object]:
        """The next that the store's thread has to say; everything else waits for it."""
        return self.reports.get(timeout=THREAD_S)

    # ---- processes

    def _make_task(self, loop: Any, coroutine: Coroutine[Any, Any, Any], context: Context | None = None) -> Any:
        task = asyncio.Task(coroutine, loop=loop, context=context)
        self._tasks.append(task)
        if len(self._tasks) > 2 * self._tasks_left:
            self._tasks = [one for one in self._tasks if not one.done()]
            self._tasks_left = max(1_000, len(self._tasks))
        return task

    def forget(self, owner: object) -> None:
        """Its process was killed. Its tasks are still kept, so that they do not even learn that they end."""
        for handle in [*self._ready, *self._scheduled]:  # type: ignore[attr-defined]
            if handle._context.get(OWNER) is owner:
                handle.cancel()

    def end(self) -> None:
        """The world is over: also the tasks of killed processes come to their end, where nobody sees it."""
        self.set_exception_handler(lambda loop, context: None)
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(RuntimeError):  # it would rather wait for something first
                task.get_coro().close()  # type: ignore[union-attr]
        self.close()
