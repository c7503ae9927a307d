"""What a worker can run: a task (typed arguments, sent by name) or a consumer function (plain messages of a queue).

Both are callable as the plain functions they were made of. Made by workqueue, run by worker/executor.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import update_wrapper
from math import ceil
from typing import Generic, ParamSpec, TypeVar

from leveret.errors import TaskError
from leveret.tasks.message import Message
from leveret.tasks.retries import Retries, seconds
from leveret.tasks.signature import Arguments, Signature
from leveret.tasks.topology import NAME_BYTES_MAX, dead_queue

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Sent:
    """A task that the broker has taken over. `id` is the message's, as logs and Message.id show it."""

    id: str
    task: str
    queue: str


@dataclass(frozen=True, slots=True)
class Call:
    """A task with its arguments, ready to be sent. Made by Task.call, for WorkQueue.send_many.

    `id` is the message's; empty: each sending makes a new one.
    """

    task: str
    queue: str
    body: bytes
    delay_ms: int = 0
    id: str = ""


class Handler(ABC, Generic[P, R]):
    """`retries` says how often a message may fail before it is parked, and how long it waits in between."""

    def __init__(self, function: Callable[P, R], *, name: str, queue: str, retries: Retries) -> None:
        if not callable(function) or not name:
            raise TaskError(f"{function!r} is no function with a name: decorate one, or give name=")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TaskError(f"{name!r} yields: a task has to do its work when it is called, and return")
        if len(dead_queue(queue).encode()) > NAME_BYTES_MAX:
            raise TaskError(
                f"queue {queue!r}: {dead_queue('')} behind its name makes more than {NAME_BYTES_MAX} octets"
            )
        update_wrapper(self, function)  # first, for it copies the function's attributes whatever their names
        self.function = function
        self.name = name
        self.queue = queue
        self.retries = retries
        self.is_async = inspect.iscoroutinefunction(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def check(self) -> None:
        """Raise TaskError now for what would fail every message."""

    @abstractmethod
    def arguments(self, message: Message) -> Arguments:
        """What to call the function with. TaskError if the message does not fit."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} on queue {self.queue!r}>"


Send = Callable[[Call], Sent]
SendAsync = Callable[[Call], Awaitable[Sent]]


class Task(Handler[P, R]):
    """Made by WorkQueue.task, which hands in how to send."""

    def __init__(
        self, function: Callable[P, R], *, name: str, queue: str, retries: Retries, send: Send, send_async: SendAsync
    ) -> None:
        super().__init__(function, name=name, queue=queue, retries=retries)
        self.signature = Signature(function, name)
        self._plain: Options[P, R] = Options(self, 0, send, send_async)
        self._send = send
        self._send_async = send_async

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """Have a worker call the function so. Returns once the broker has confirmed that it keeps the task.

        TaskError: the function takes no such arguments. WaitTimeout, ConnectionLost, …: see client.Channel.publish.
        """
        return self._plain.send(*args, **kwargs)

    async def send_async(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """As `send`, for coroutines."""
        return await self._plain.send_async(*args, **kwargs)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """What `send` would send, for WorkQueue.send_many."""
        return self._plain.call(*args, **kwargs)

    def options(self, *, delay: float | timedelta = 0, eta: datetime | None = None) -> Options[P, R]:
        """The task with something said of one call: `task.options(delay=60).send(…)`.

        It runs `delay` from now (seconds, or a timedelta), or at `eta`, a datetime with its time zone (in the past: now);
        not before, and later by a tenth of a second or so, and by what is before it in its queue. TaskError: both
        are given, or one makes no sense.
        """
        return Options(self, _delay_ms(delay, eta), self._send, self._send_async)

    def check(self) -> None:
        _ = self.signature.decoders

    def arguments(self, message: Message) -> Arguments:
        return self.signature.decode(message.body)


class Options(Generic[P, R]):
    """A task, and what is said of a call of it besides its arguments. Made by Task.options."""

    def __init__(self, task: Task[P, R], delay_ms: int, send: Send, send_async: SendAsync) -> None:
        self._task = task
        self._delay_ms = delay_ms
        self._send = send
        self._send_async = send_async

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """See Task.send."""
        return self._send(self.call(*args, **kwargs))

    async def send_async(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """See Task.send."""
        return await self._send_async(self.call(*args, **kwargs))

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """See Task.call."""
        task = self._task
        return Call(task.name, task.queue, task.signature.encode(args, kwargs), self._delay_ms)


def _delay_ms(delay: float | timedelta, eta: datetime | None) -> int:
    if eta is None:
        return ceil(seconds(delay) * 1000)
    if delay:
        raise TaskError("a call has either a delay or an eta, not both")
    if eta.tzinfo is None:
        raise TaskError(f"eta={eta.isoformat()} says no time zone: give it one, as in eta.astimezone()")
    return max(0, ceil((eta - datetime.now(UTC)).total_seconds() * 1000))


class Consumer(Handler[P, R]):
    """Made by WorkQueue.consumer. The function takes the body, or the body and the Message."""

    def __init__(self, function: Callable[P, R], *, queue: str, retries: Retries) -> None:
        super().__init__(function, name=f"consumer of {queue}", queue=queue, retries=retries)
        self._with_message = not self._takes(1)
        if self._with_message and not self._takes(2):
            raise TaskError(f"{self.name!r}: its function has to take (body) or (body, message)")

    def _takes(self, number: int) -> bool:
        """Whether it can be called with so many, and needs no more: arguments with defaults are its own affair."""
        try:
            inspect.signature(self.function).bind(*[None] * number)
        except TypeError:
            return False
        return True

    def arguments(self, message: Message) -> Arguments:
        return (message.body, message) if self._with_message else (message.body,), {}
