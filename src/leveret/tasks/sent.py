"""A task that the broker has taken over, as its sender holds it: its id, its result if it asked for one, its cancellation.

Made by workqueue; `wait_many` waits for several together.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from leveret.errors import Duplicate, LeveretError, PartlySent, TaskError, WaitTimeout
from leveret.tasks.awaited import Awaited
from leveret.tasks.replies import Progress

T = TypeVar("T")

WAIT_S: Final = 60.0
GIVE_UP_S: Final = 5.0
"""For cancelling what was sent in part."""


class Sent(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """`id` is the message's, as logs and Message.id show it.

    `duplicate`: it was not sent, for its task is unique and another one has its key. `id` is that one's then; empty if the
    broker does not tell.
    """

    id: str
    task: str
    queue: str
    _awaited: Awaited[T] | None = None
    _cancel: Callable[[str], None] | None = None
    _cancel_async: Callable[[str], Awaitable[None]] | None = None
    duplicate: bool = False

    def __repr__(self) -> str:
        duplicate = ", duplicate=True" if self.duplicate else ""
        return f"{type(self).__name__}(id={self.id!r}, task={self.task!r}, queue={self.queue!r}{duplicate})"

    def instead(self, id: str) -> Sent[T]:
        """What stands for it, if it was not sent because of that one."""
        return replace(self, id=id, _awaited=None, duplicate=True)

    def result(self, timeout_s: float = WAIT_S) -> T:
        """What the task returned, once it has. For tasks sent with `result=True`, or whose results are kept.

        TaskFailed: it failed for good; its error and traceback are in there. TaskCancelled. TaskExpired. WaitTimeout: nothing came within
        `timeout_s`; the task goes on, and `result` may be asked again. TaskError: it was sent
        without `result=True`. ResultsUnavailable: nothing came, and the store of results cannot be asked.
        """
        awaited = self._asked()
        try:
            answer = awaited.wait(timeout_s)
        except TimeoutError:
            raise self._late(timeout_s) from None
        return awaited.value(self.task, answer)

    async def result_async(self, timeout_s: float = WAIT_S) -> T:
        """As `result`, for coroutines."""
        awaited = self._asked()
        try:
            answer = await awaited.wait_async(timeout_s)
        except TimeoutError:
            raise self._late(timeout_s) from None
        return awaited.value(self.task, answer)

    @property
    def done(self) -> bool:
        """Whether `result` returns, or raises, at once. For tasks sent with `result=True`."""
        return self._asked().done

    @property
    def progress(self) -> Progress | None:
        """What the task said last of how far it is. For tasks sent with `result=True`."""
        reply = self._asked().reply
        return None if reply is None else reply.progress

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
        if self.duplicate:
            raise TaskError(
                f"task {self.task!r} was not sent, for {self.id or 'another one'} has its key: its sender has the result"
            )
        if self._awaited is None:
            raise TaskError(
                f"task {self.task!r} was sent without result=True (of the task, its options, or the WorkQueue), "
                "and has no keep_result, so nobody keeps its result"
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


def raise_unsent(outcomes: Sequence[Exception | None]) -> None:
    """PartlySent, if some were not confirmed. A Duplicate is no such error."""
    errors = {
        number: error for number, error in enumerate(outcomes) if error is not None and not isinstance(error, Duplicate)
    }
    if errors:
        raise PartlySent(len(outcomes), errors)


def all_sent(sent: list[Sent[T]], outcomes: Sequence[Exception | None]) -> list[Sent[T]]:
    """As they are known to whoever sent them. PartlySent."""
    raise_unsent(outcomes)
    return [
        one.instead(error.id) if isinstance(error, Duplicate) else one
        for one, error in zip(sent, outcomes, strict=True)
    ]


@contextmanager
def giving_up(error: PartlySent) -> Iterator[None]:
    """Cancelling in here what was sent of a workflow; the error tells whether that could be done."""
    try:
        yield
    except LeveretError as cancelling:
        error.add_note(f"what was confirmed of the workflow runs, for it could not be cancelled: {cancelling}")
    else:
        error.add_note("the workflow was cancelled: what was confirmed of it, and has not begun, does not run")
