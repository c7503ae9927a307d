"""What a worker can run: a task (typed arguments, sent by name) or a consumer function (plain messages of a queue).

Both are callable as the plain functions they were made of. Made by workqueue, run by worker/executor.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeVar

from leveret.errors import TaskError
from leveret.tasks.message import Message
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


class Handler(ABC, Generic[P, R]):
    """`attempts` is how often a message may fail before it is parked."""

    def __init__(self, function: Callable[P, R], *, name: str, queue: str, attempts: int) -> None:
        if not callable(function) or not name:
            raise TaskError(f"{function!r} is no function with a name: decorate one, or give name=")
        if attempts < 1:
            raise TaskError(f"{name!r}: attempts={attempts}, but a task has to be tried at least once")
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
        self.attempts = attempts
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


Send = Callable[[str, str, bytes], Sent]
SendAsync = Callable[[str, str, bytes], Awaitable[Sent]]


class Task(Handler[P, R]):
    """Made by WorkQueue.task, which hands in how to send: called with task name, queue and body."""

    def __init__(
        self, function: Callable[P, R], *, name: str, queue: str, attempts: int, send: Send, send_async: SendAsync
    ) -> None:
        super().__init__(function, name=name, queue=queue, attempts=attempts)
        self.signature = Signature(function, name)
        self._send = send
        self._send_async = send_async

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """Have a worker call the function so. Returns once the broker has confirmed that it keeps the task.

        TaskError: the function takes no such arguments. WaitTimeout, ConnectionLost, …: see client.Channel.publish.
        """
        return self._send(self.name, self.queue, self.signature.encode(args, kwargs))

    async def send_async(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """As `send`, for coroutines."""
        return await self._send_async(self.name, self.queue, self.signature.encode(args, kwargs))

    def check(self) -> None:
        _ = self.signature.decoders

    def arguments(self, message: Message) -> Arguments:
        return self.signature.decode(message.body)


class Consumer(Handler[P, R]):
    """Made by WorkQueue.consumer. The function takes the body, or the body and the Message."""

    def __init__(self, function: Callable[P, R], *, queue: str, attempts: int) -> None:
        super().__init__(function, name=f"consumer of {queue}", queue=queue, attempts=attempts)
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
