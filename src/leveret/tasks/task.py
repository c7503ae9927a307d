"""A task: a function with typed arguments that programs send by name. `options` says something of one call.

    resize.send(Path("hare.png"), width=200)
    resize.options(delay=60, priority=5).send(Path("hare.png"), width=200)

Made by workqueue, which hands in how to send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

import msgspec

from leveret.errors import TaskError
from leveret.tasks.expiry import Expires, expires_of
from leveret.tasks.form import Arguments
from leveret.tasks.handler import Handler, Settings
from leveret.tasks.limits import key_in
from leveret.tasks.message import Message
from leveret.tasks.options import CallOptions, refuse_unknown
from leveret.tasks.providing import Providers
from leveret.tasks.retries import seconds
from leveret.tasks.sent import Sent
from leveret.tasks.signature import Signature
from leveret.tasks.versions import Older

if TYPE_CHECKING:
    from leveret.tasks.workflows import Workflow

P = ParamSpec("P")
Q = ParamSpec("Q")
Rest = ParamSpec("Rest")
R = TypeVar("R")
T = TypeVar("T")


class Call(msgspec.Struct, Generic[T], frozen=True):
    """A task with its arguments, ready to be sent. Made by Task.call, for WorkQueue.send_many and workflows.

    `id` is the message's; empty: each sending makes a new one. `due`: what `delay_ms` was counted from an eta for. `partial`:
    its first argument is to come (Task.partial).
    """

    task: Task[..., Any, T]
    queue: str
    body: bytes
    delay_ms: int = 0
    priority: int | None = None
    result: bool = False
    cancellable: bool = False
    id: str = ""
    due: datetime | None = None
    partial: bool = False
    expires: Expires | None = None
    version: int = 1


Send = Callable[["Call[Any] | Workflow[Any]"], Sent[Any]]
SendAsync = Callable[["Call[Any] | Workflow[Any]"], Awaitable[Sent[Any]]]


class Task(Handler[P, R], Generic[P, R, T]):
    """Made by WorkQueue.task. Calling it returns R, as the function does; its result is T, which an async one awaits to."""

    def __init__(
        self,
        function: Callable[P, R],
        name: str,
        settings: Settings,
        providers: Providers,
        send: Send,
        send_async: SendAsync,
    ) -> None:
        super().__init__(function, name, settings, providers)
        self.signature = Signature(function, name)
        settings.limits.check(name, self.signature)
        self._send = send
        self._send_async = send_async
        self._older = Older(name, settings.version)
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
        """What `send` would send, for WorkQueue.send_many and workflows."""
        return self._plain.call(*args, **kwargs)

    def partial(self: Task[Concatenate[Any, Rest], Any, T], *args: Rest.args, **kwargs: Rest.kwargs) -> Call[T]:
        """A call that lacks the first argument, for a workflow: that will be the result of what comes before it there."""
        return self._plain.partial(*args, **kwargs)

    def options(self, **options: Unpack[CallOptions]) -> Options[P, T]:
        """The task with something said of one call: `task.options(delay=60).send(…)`. What can be said stands in tasks/options.

        TaskError: it makes no sense.
        """
        refuse_unknown(options, CallOptions, "Task.options")
        settings = self.settings
        queue, priority, result = options.get("queue"), options.get("priority"), options.get("result")
        cancellable, expires = options.get("cancellable"), expires_of(options.get("expires"))
        return Options(
            self,
            queue or settings.queue,
            _delay_ms(options.get("delay", 0), options.get("eta")),
            settings.priority if priority is None else priority,
            settings.result if result is None else result,
            settings.cancellable if cancellable is None else cancellable,
            settings.expires if expires is None else expires,
            self._send,
            self._send_async,
            options.get("eta"),
        )

    def check(self) -> None:
        super().check()
        _ = self.signature.decoders
        self._older.check()

    def accepts(self, version: int) -> Callable[[Callable[Q, Call[T]]], Callable[Q, Call[T]]]:
        """Stands above a function with the parameters of an older version, which returns the `call` of today. See tasks/versions."""

        def register(function: Callable[Q, Call[T]]) -> Callable[Q, Call[T]]:
            self._older.add(version, function)
            return function

        return register

    def keys(self, body: bytes) -> dict[str, object]:
        """The headers by which its limits know a message with that body. TaskError if a key has no form in JSON."""
        return self.settings.limits.headers(self.name, self.signature, body)

    def key(self, message: Message, key: str | Callable[..., object]) -> str:
        """By which a limit knows a message that does not say so itself. Raises what `arguments` and the key's function do."""
        return key_in(key, self.name, self.signature, self.arguments(message))

    def arguments(self, message: Message) -> Arguments:
        body = message.body
        if (
            message.properties.headers is not None or self._older.there
        ):  # plain messages to plain tasks are not looked at
            body = self._older.present_body(message.version, body, self.signature)
        return self.signature.decode(body)


class Options(msgspec.Struct, Generic[P, T], frozen=True):
    """A task, and what is said of a call of it besides its arguments. Made by Task.options."""

    _task: Task[P, Any, T]
    _queue: str
    _delay_ms: int
    _priority: int | None
    _result: bool
    _cancellable: bool
    _expires: Expires | None
    _send: Send
    _send_async: SendAsync
    _due: datetime | None = None

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent[T]:
        """See Task.send."""
        return self._send(self.call(*args, **kwargs))

    async def send_async(self, *args: P.args, **kwargs: P.kwargs) -> Sent[T]:
        """See Task.send."""
        return await self._send_async(self.call(*args, **kwargs))

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """See Task.call."""
        return self._call(self._task.signature.encode(args, kwargs))

    def partial(self: Options[Concatenate[Any, Rest], T], *args: Rest.args, **kwargs: Rest.kwargs) -> Call[T]:
        """See Task.partial."""
        return self._call(self._task.signature.encode_partial(args, kwargs), partial=True)

    def _call(self, body: bytes, partial: bool = False) -> Call[T]:
        return Call(
            self._task,
            self._queue,
            body,
            self._delay_ms,
            self._priority,
            self._result,
            self._cancellable,
            due=self._due,
            partial=partial,
            expires=self._expires,
            version=self._task.settings.version,
        )


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
