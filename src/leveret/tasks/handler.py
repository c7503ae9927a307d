"""What a worker can run: a task (tasks/task) or a consumer function, which takes the plain messages of a queue.

Both are callable as the plain functions they were made of. Made by workqueue, run by worker/executor.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeVar

import msgspec

from leveret.errors import TaskError
from leveret.tasks.expiry import Expires
from leveret.tasks.form import Arguments
from leveret.tasks.injection import needs_of
from leveret.tasks.limits import NONE, Limits
from leveret.tasks.message import Message
from leveret.tasks.providing import Providers
from leveret.tasks.retries import Retries
from leveret.tasks.topology import NAME_BYTES_MAX, dead_queue

P = ParamSpec("P")
R = TypeVar("R")

LATER_S = 10.0
"""After the time limit a task has so long to end, unless its hard limit is given."""


class TimeLimit(msgspec.Struct, frozen=True):
    """`soft_s`: TimeLimitExceeded is raised inside the task. `hard_s`: its process is replaced. Both count from its start."""

    soft_s: float
    hard_s: float

    @classmethod
    def of(cls, soft: float | timedelta | None, hard: float | timedelta | None) -> TimeLimit | None:
        """TaskError if they make no sense."""
        if soft is None and hard is None:
            return None
        hard_s = (_limit_s(soft) + LATER_S) if hard is None else _limit_s(hard)
        limit = cls(hard_s if soft is None else _limit_s(soft), hard_s)
        if limit.soft_s > limit.hard_s:
            raise TaskError(f"the time limit of {limit.soft_s:g} s lies behind the hard one, {limit.hard_s:g} s")
        return limit


def _limit_s(limit: float | timedelta | None) -> float:
    limit_s = limit.total_seconds() if isinstance(limit, timedelta) else float(limit or 0)
    if limit_s <= 0:
        raise TaskError(f"a time limit of {limit_s:g} s leaves no time")
    return limit_s


class Settings(msgspec.Struct, frozen=True):
    """What holds for every message of a task or consumer function. `retries` says how often it may fail, with what pauses."""

    queue: str
    retries: Retries
    time_limit: TimeLimit | None = None
    priority: int | None = None
    result: bool = False
    cancellable: bool = False
    process: bool = False
    memory_mb: int = 0
    limits: Limits = NONE
    expires: Expires | None = None
    keep_result: timedelta | None = None
    version: int = 1


class Handler(ABC, Generic[P, R]):
    def __init__(self, function: Callable[P, R], name: str, settings: Settings, providers: Providers) -> None:
        if not callable(function) or not name:
            raise TaskError(f"{function!r} is no function with a name: decorate one, or give name=")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TaskError(f"{name!r} yields: a task has to do its work when it is called, and return")
        if len(dead_queue(settings.queue).encode()) > NAME_BYTES_MAX:
            raise TaskError(
                f"queue {settings.queue!r}: {dead_queue('')} behind its name makes more than {NAME_BYTES_MAX} octets"
            )
        update_wrapper(self, function)  # first, for it copies the function's attributes whatever their names
        self.function = function
        self.name = name
        self.settings = settings
        self.is_async = inspect.iscoroutinefunction(function)
        self.needs = needs_of(function)
        self.providers = providers

    @property
    def queue(self) -> str:
        return self.settings.queue

    @property
    def retries(self) -> Retries:
        return self.settings.retries

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.needs is not None:
            self.needs.refuse_missing(args, kwargs)
        return self.function(*args, **kwargs)

    def check(self) -> None:
        """Raise TaskError now for what would fail every message."""
        if self.needs is not None:
            self.needs.check(self.is_async)

    @abstractmethod
    def arguments(self, message: Message) -> Arguments:
        """What to call the function with. TaskError if the message does not fit."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} on queue {self.queue!r}>"


class Consumer(Handler[P, R]):
    """Made by WorkQueue.consumer. The function takes the body, or the body and the Message."""

    def __init__(self, function: Callable[P, R], settings: Settings, providers: Providers) -> None:
        super().__init__(function, f"consumer of {settings.queue}", settings, providers)
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
