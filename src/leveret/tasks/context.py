"""The running task, as it sees itself: `current_task()`. Its id and attempt, until when, how far, and whether it is still wanted.

Made by the worker for each message, and found again by thread or asyncio task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, Token
from datetime import UTC, datetime, timedelta
from typing import Final

from leveret.errors import TaskCancelled, TaskError
from leveret.tasks.message import Message
from leveret.tasks.outcome import CANCELLED
from leveret.tasks.replies import Progress

Report = Callable[[Message, Progress], None]
"""Takes how far a task is, on the task's own thread."""


def _unheard(message: Message, progress: Progress) -> None:
    """Nobody asked."""


class TaskContext:
    def __init__(self, message: Message, limit_s: float | None = None, report: Report = _unheard) -> None:
        self.message: Final = message
        self.limit_s = limit_s
        self.deadline: datetime | None = None
        """When the soft time limit is over, if there is one."""
        self.last_progress: Progress | None = None
        self._report = report
        self._cancelled = False
        self._to_cancel: Callable[[], object] | None = None

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def name(self) -> str:
        return self.message.task

    @property
    def queue(self) -> str:
        return self.message.queue

    @property
    def attempt(self) -> int:
        """Counts from 1."""
        return self.message.attempt

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far it is, to whoever waits for the result and whoever watches. Cheap, and lost if nobody does."""
        self.last_progress = Progress(done, total, text)
        self._report(self.message, self.last_progress)

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled it. An async task is cancelled besides; a plain function should look now and then."""
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """TaskCancelled ends the task, and is no failure."""
        if self.cancelled:
            raise TaskCancelled(self.name, "", "the task was cancelled", "", CANCELLED)

    # ---- the worker's part

    def begin(self, to_cancel: Callable[[], object] | None = None) -> None:
        """The task begins. `to_cancel` is called, on any thread, if it is cancelled."""
        self._to_cancel = to_cancel
        if self.limit_s is not None:
            self.deadline = datetime.now(UTC) + timedelta(seconds=self.limit_s)

    def cancel(self) -> None:
        self._cancelled = True
        if self._to_cancel is not None:
            self._to_cancel()


_current: ContextVar[TaskContext] = ContextVar("leveret-task")


def current_task() -> TaskContext:
    """The task that is running in this thread or asyncio task. TaskError outside of one."""
    context = _current.get(None)
    if context is None:
        raise TaskError("current_task() is for code that a worker runs as a task")
    return context


def current_message() -> Message | None:
    """The message whose task or consumer function is running in this thread or asyncio task."""
    context = _current.get(None)
    return None if context is None else context.message


class running:
    """Around what runs for a task: there `current_task()` finds it."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token: Token[TaskContext] = _current.set(self._context)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def cancel_on_loop() -> Callable[[], object]:
    """Cancels the asyncio task that calls this, from any thread."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    return lambda: loop.call_soon_threadsafe(task.cancel)
