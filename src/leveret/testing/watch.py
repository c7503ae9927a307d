"""What a test learns of the tasks that run, and the moment at which one of them loses its worker.

A task's function is wrapped as long as a harness is open: the wrapper sees the exception itself, where outcomes have its
text alone. Used by harness and inline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from leveret.errors import TaskError, TimeLimitExceeded
from leveret.tasks import Failed, Handler, Message, Outcome, Parked, Retry, WorkQueue, current_message

OVERRUN: Final = f"{TimeLimitExceeded.__module__}.{TimeLimitExceeded.__qualname__}"


class WorkerKilled(BaseException):
    """Ends a task whose worker is lost: nothing it does counts any more."""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at one message. `outcome` is None if its worker was killed while it ran."""

    task: str
    id: str
    attempt: int
    outcome: Outcome | None


class Watch:
    """`kill` ends the worker that runs the calling task; None as long as there is none."""

    def __init__(self, work: WorkQueue) -> None:
        self._work = work
        self._functions: dict[int, tuple[Handler[..., Any], Callable[..., Any]]] = {}
        self._errors: dict[int, tuple[Message, BaseException]] = {}
        self.doomed: list[str] = []
        self.runs: list[Run] = []
        self.kill: Callable[[], None] | None = None

    # ---- around functions

    def begin(self) -> None:
        """Wrap those that are not wrapped: tasks may be declared while a test runs."""
        for handler in (*self._work.tasks.values(), *self._work.consumers.values()):
            if id(handler) not in self._functions:
                self._functions[id(handler)] = (handler, handler.function)
                handler.function = self._async(handler) if handler.is_async else self._plain(handler)

    def end(self) -> None:
        for handler, function in self._functions.values():
            handler.function = function
        self._functions.clear()

    def _plain(self, handler: Handler[..., Any]) -> Callable[..., Any]:
        function = handler.function

        def watched(*args: Any, **kwargs: Any) -> Any:
            message = current_message()
            if message is None:  # called as the plain function that it is
                return function(*args, **kwargs)
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                self._note(message, error)
                raise
            self._die_if_doomed(handler, message)
            return value

        return watched

    def _async(self, handler: Handler[..., Any]) -> Callable[..., Awaitable[Any]]:
        function = handler.function

        async def watched(*args: Any, **kwargs: Any) -> Any:
            message = current_message()
            if message is None:
                return await function(*args, **kwargs)
            try:
                value = await function(*args, **kwargs)
            except BaseException as error:
                self._note(message, error)
                raise
            self._die_if_doomed(handler, message)
            return value

        return watched

    def _note(self, message: Message, error: BaseException) -> None:
        if not isinstance(error, asyncio.CancelledError | WorkerKilled):
            self._errors[id(message)] = (message, error)

    # ---- deaths

    def _die_if_doomed(self, handler: Handler[..., Any], message: Message) -> None:
        if handler.name in self.doomed and self.kill is not None:
            self.doomed.remove(handler.name)
            self._lose(message)

    def die(self) -> None:
        """Of the calling task's worker. Does not return."""
        message = current_message()
        if message is None or self.kill is None:
            raise TaskError("there is no worker to kill: call it in a task that `drain` runs")
        self._lose(message)
        raise WorkerKilled("its worker was killed, as the test wants it")

    def _lose(self, message: Message) -> None:
        assert self.kill is not None
        self.kill()
        self.runs.append(Run(message.task, message.id, message.attempt, None))

    # ---- outcomes

    def ended(self, message: Message, outcome: Outcome) -> BaseException | None:
        """Remember it; what a test is to be told of, if it is a failure. A task that asks for another try has not failed."""
        self.runs.append(Run(message.task, message.id, message.attempt, outcome))
        _, error = self._errors.pop(id(message), (message, None))
        if not isinstance(outcome, Failed | Parked) or (isinstance(outcome, Failed) and isinstance(error, Retry)):
            return None
        return error_of(message, outcome, error)


def error_of(message: Message, outcome: Failed | Parked, error: BaseException | None) -> BaseException:
    """The task's own exception if there is one that a test can raise without ending itself."""
    failure = outcome.failure
    place = f"task {message.task!r} (attempt {message.attempt}, message {message.id}) failed"
    if isinstance(error, Exception):
        error.add_note(place)
        return error
    reason = f", reason {outcome.reason}" if isinstance(outcome, Parked) else ""
    kind = TimeLimitExceeded if failure.exception == OVERRUN else TaskError  # it was raised outside of the function
    wrapped = kind(f"{place}{reason}: {failure.exception}: {failure.text}\n{failure.traceback}".rstrip())
    wrapped.__cause__ = error
    return wrapped
