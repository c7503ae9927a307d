"""When a task that failed is tried again: by default often, with pauses that grow; what a task itself can say about it.

    @work.task(retry=Retries(attempts=5, first_s=10, never=(ValueError,)))
    def fetch(url: str) -> None:
        if busy(url):
            raise Retry(after=60)
        if gone(url):
            raise Reject("the page is gone")

Read by worker/executor.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import msgspec

from leveret.client import Backoff
from leveret.errors import TaskError


class Retry(Exception):
    """Raised by a task: not now, try again `after` so many seconds (by default what its Retries say). It counts as an attempt."""

    def __init__(self, text: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(text or "the task asks for another try")
        self.after_s = None if after is None else seconds(after)


class Reject(Exception):
    """Raised by a task: trying again is no use. The message is parked, with this reason."""


class Retries(msgspec.Struct, frozen=True):
    """How often a task is tried, the first time included, and after what pauses.

    The pause doubles from `first_s` up to `max_s`; each is drawn from the upper half of its span, so that what failed
    together is not tried again together. `first_s=0`: at once. `only` and `never` tell exceptions to try again from those
    that cannot pass: without `only` all may.
    """

    attempts: int = 10
    first_s: float = 1.0
    max_s: float = 3600.0
    only: tuple[type[BaseException], ...] = ()
    never: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise TaskError(f"attempts={self.attempts}, but a task has to be tried at least once")
        if self.first_s < 0 or self.max_s < 0:
            raise TaskError(f"first_s={self.first_s:g}, max_s={self.max_s:g}: a pause cannot be negative")

    def again(self, error: BaseException) -> bool:
        """Whether another try may help."""
        if isinstance(error, Retry):
            return True
        return not isinstance(error, self.never) and (not self.only or isinstance(error, self.only))

    def delay_s(self, error: BaseException, failed: int, fraction: Callable[[], float] = random.random) -> float:
        """The pause after that many failed attempts, of which `error` was the last."""
        if isinstance(error, Retry) and error.after_s is not None:
            return error.after_s
        return Backoff(self.first_s, self.max_s, fraction=fraction).delay_s(failed - 1)


def span(value: float | timedelta) -> timedelta:
    """TaskError if it is negative."""
    return timedelta(seconds=seconds(value))


def seconds(value: float | timedelta) -> float:
    """TaskError if that is before now."""
    value_s = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if value_s < 0:
        raise TaskError(f"a delay of {value_s:g} s lies in the past")
    return value_s
