"""A task: a function with typed arguments that programs send by name. `options` says something of one call.

    resize.send(Path("hare.png"), width=200)
    resize.options(delay=60, priority=5).send(Path("hare.png"), width=200)

Made by workqueue, which hands in how to send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from leveret.errors import TaskError
from leveret.tasks.handler import Handler, Settings
from leveret.tasks.message import Message
from leveret.tasks.retries import seconds
from leveret.tasks.sent import Sent
from leveret.tasks.signature import Arguments, Signature

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A task with its arguments, ready to be sent. Made by Task.call, for WorkQueue.send_many and workflows.

    `id` is the message's; empty: each sending makes a new one.
    """

    task: Task[..., Any, T]
    queue: str
    body: bytes
    delay_ms: int = 0
    priority: int | None = None
    result: bool = False
    cancellable: bool = False
    id: str = ""


Send = Callable[[Call[Any]], Sent[Any]]
SendAsync = Callable[[Call[Any]], Awaitable[Sent[Any]]]


class Task(Handler[P, R], Generic[P, R, T]):
    """Made by WorkQueue.task. Calling it returns R, as the function does; its result is T, which an async one awaits to."""

    def __init__(
        self, function: Callable[P, R], name: str, settings: Settings, send: Send, send_async: SendAsync
    ) -> None:
        super().__init__(function, name, settings)
        self.signature = Signature(function, name)
        self._send = send
        self._send_async = send_async
        self._plain: Options[P, T] = self.options()

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent[T]:
        """Have a worker call the function so. Returns once the broker has confirmed that it keeps the task.

        TaskError: the function takes no such arguments. WaitTimeout, ConnectionLost, …: see client.Channel.publish.
        """
        return self._plain.send(*args, **kwargs)

    async def send_async(self, *args: P.args, **kwargs: P.kwargs) -> Sent[T]:
        """As `send`, for coroutines."""
        return await self._plain.send_async(*args, **kwargs)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """What `send` would send, for WorkQueue.send_many."""
        return self._plain.call(*args, **kwargs)

    def options(
        self,
        *,
        delay: float | timedelta = 0,
        eta: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        result: bool | None = None,
        cancellable: bool | None = None,
    ) -> Options[P, T]:
        """The task with something said of one call: `task.options(delay=60).send(…)`.

        It runs `delay` from now (seconds, or a timedelta), or at `eta`, a datetime with its time zone (in the past: now);
        not before, and later by a tenth of a second or so, and by what is before it in its queue. `queue`, `priority`, `result`
        and `cancellable` go before what the task says (see WorkQueue.task). TaskError: one makes no sense.
        """
        settings = self.settings
        return Options(
            self,
            queue or settings.queue,
            _delay_ms(delay, eta),
            settings.priority if priority is None else priority,
            settings.result if result is None else result,
            settings.cancellable if cancellable is None else cancellable,
            self._send,
            self._send_async,
        )

    def check(self) -> None:
        _ = self.signature.decoders

    def arguments(self, message: Message) -> Arguments:
        return self.signature.decode(message.body)


@dataclass(frozen=True, slots=True)
class Options(Generic[P, T]):
    """A task, and what is said of a call of it besides its arguments. Made by Task.options."""

    _task: Task[P, Any, T]
    _queue: str
    _delay_ms: int
    _priority: int | None
    _result: bool
    _cancellable: bool
    _send: Send
    _send_async: SendAsync

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent[T]:
        """See Task.send."""
        return self._send(self.call(*args, **kwargs))

    async def send_async(self, *args: P.args, **kwargs: P.kwargs) -> Sent[T]:
        """See Task.send."""
        return await self._send_async(self.call(*args, **kwargs))

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """See Task.call."""
        body = self._task.signature.encode(args, kwargs)
        return Call(self._task, self._queue, body, self._delay_ms, self._priority, self._result, self._cancellable)


class Decorator(Protocol):
    """What WorkQueue.task(…) gives to be applied to a function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, Coroutine[Any, Any, T], T]: ...

    @overload
    def __call__(self, function: Callable[P, T], /) -> Task[P, T, T]: ...


def _delay_ms(delay: float | timedelta, eta: datetime | None) -> int:
    if eta is None:
        return ceil(seconds(delay) * 1000)
    if delay:
        raise TaskError("a call has either a delay or an eta, not both")
    if eta.tzinfo is None:
        raise TaskError(f"eta={eta.isoformat()} says no time zone: give it one, as in eta.astimezone()")
    return max(0, ceil((eta - datetime.now(UTC)).total_seconds() * 1000))
