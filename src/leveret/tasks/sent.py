"""A task that the broker has taken over, as its sender holds it: its id, its result if it asked for one, its cancellation.

Made by workqueue; `wait_many` waits for several together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from leveret.errors import TaskCancelled, TaskError, TaskFailed, WaitTimeout
from leveret.tasks.outcome import CANCELLED
from leveret.tasks.replies import Answer, Progress, Reply

T = TypeVar("T")

WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Awaited(Generic[T]):
    """What comes back of a task: its reply, and how its value is read."""

    reply: Reply
    read: Callable[[bytes], T]

    def value(self, task: str, answer: Answer) -> T:
        """TaskFailed if it failed, TaskError if its value is not of the type that the task's annotation promises."""
        error = answer.error
        if error is None:
            return self.read(bytes(answer.value))
        kind = TaskCancelled if error.reason == CANCELLED else TaskFailed
        raise kind(task, error.exception, error.text, error.traceback, error.reason)


@dataclass(frozen=True, slots=True)
class Sent(Generic[T]):
    """`id` is the message's, as logs and Message.id show it."""

    id: str
    task: str
    queue: str
    _awaited: Awaited[T] | None = field(default=None, repr=False, compare=False)
    _cancel: Callable[[str], None] | None = field(default=None, repr=False, compare=False)
    _cancel_async: Callable[[str], Awaitable[None]] | None = field(default=None, repr=False, compare=False)

    def result(self, timeout_s: float = WAIT_S) -> T:
        """What the task returned, once it has. For tasks sent with `result=True`.

        TaskFailed: it failed for good; its error and traceback are in there. TaskCancelled. WaitTimeout: nothing came within
        `timeout_s`; the task goes on, and `result` may be asked again. TaskError: it was sent without `result=True`.
        """
        awaited = self._asked()
        try:
            answer = awaited.reply.answer.result(timeout_s)
        except TimeoutError:
            raise self._late(timeout_s) from None
        return awaited.value(self.task, answer)

    async def result_async(self, timeout_s: float = WAIT_S) -> T:
        """As `result`, for coroutines."""
        awaited = self._asked()
        if not awaited.reply.answer.done():
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.shield(asyncio.wrap_future(awaited.reply.answer))
            except TimeoutError:
                raise self._late(timeout_s) from None
        return awaited.value(self.task, awaited.reply.answer.result())

    @property
    def done(self) -> bool:
        """Whether `result` returns, or raises, at once. For tasks sent with `result=True`."""
        return self._asked().reply.answer.done()

    @property
    def progress(self) -> Progress | None:
        """What the task said last of how far it is. For tasks sent with `result=True`."""
        return self._asked().reply.progress

    def cancel(self) -> None:
        """Keep it from running, or from running on; see WorkQueue.cancel."""
        if self._cancel is None:
            raise TaskError(f"task {self.id} cannot be cancelled from here: use WorkQueue.cancel")
        self._cancel(self.id)

    async def cancel_async(self) -> None:
        """As `cancel`, for coroutines."""
        if self._cancel_async is None:
            raise TaskError(f"task {self.id} cannot be cancelled from here: use WorkQueue.cancel_async")
        await self._cancel_async(self.id)

    def _asked(self) -> Awaited[T]:
        if self._awaited is None:
            raise TaskError(
                f"task {self.task!r} was sent without result=True (of the task, its options, or the WorkQueue), "
                "so nobody keeps its result"
            )
        return self._awaited

    def _late(self, timeout_s: float) -> WaitTimeout:
        return WaitTimeout(f"no result of task {self.task!r} ({self.id}) came within {timeout_s:g} s")


def wait_many(sent: Iterable[Sent[T]], timeout_s: float = WAIT_S) -> list[T]:
    """The results of all, in their order, within `timeout_s` altogether. Raises what Sent.result raises, for the first."""
    until_s = time.monotonic() + timeout_s
    return [one.result(max(0.0, until_s - time.monotonic())) for one in sent]


async def wait_many_async(sent: Iterable[Sent[Any]], timeout_s: float = WAIT_S) -> list[Any]:
    """As `wait_many`, for coroutines."""
    until_s = time.monotonic() + timeout_s
    return [await one.result_async(max(0.0, until_s - time.monotonic())) for one in sent]
