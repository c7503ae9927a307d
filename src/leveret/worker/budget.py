"""Of which tasks events are made, however many there are: of so many in a second, and of those that fail for longer.

What was begun to be told is told to its end. The rest is counted (worker/sums). Where the budget is spent a task costs two looks at
an attribute. Used by announcer, on the worker's loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.tasks import Message

TOLD_PER_S: Final = 100
"""Tasks. Two events of one cost a worker up to 15 µs: so they are a fraction of a percent of its time."""

FAILURES_PER_S: Final = 1_000
BEGUN_MAX: Final = 20_000

Later = Callable[[float, Callable[[], None]], object]
"""Calls in so many seconds."""


class Budget:
    """A second begins with the first that is told in it."""

    def __init__(self, later: Later, told_per_s: int = TOLD_PER_S, failures_per_s: int = FAILURES_PER_S) -> None:
        self._later: Final = later
        self._told_per_s: Final = told_per_s
        self._failures_per_s: Final = failures_per_s
        self._told = 0
        self._failures = 0
        self._timed = False
        self.room = told_per_s > 0
        """Whether another task may be told of just now."""
        self.begun: Final[set[tuple[str, int]]] = set()
        """Those that were told of when they began."""

    def begins(self, message: Message) -> bool:
        """Whether to say that it begins."""
        if not self._take():
            return False
        if len(self.begun) >= BEGUN_MAX:  # of tasks that were given back, and never ended
            self.begun.clear()
        self.begun.add((message.id, message.attempt))
        return True

    def succeeds(self, message: Message) -> bool:
        """Whether to say that it succeeded."""
        if self.begun:
            key = (message.id, message.attempt)
            if key in self.begun:
                self.begun.remove(key)
                return True
        return self._take()

    def fails(self, message: Message) -> bool:
        """Whether to say how it ended otherwise."""
        self.begun.discard((message.id, message.attempt))
        self._time()
        self._failures += 1
        return self._failures <= self._failures_per_s

    def _take(self) -> bool:
        if not self.room:
            return False
        self._time()
        self._told += 1
        self.room = self._told < self._told_per_s
        return True

    def _time(self) -> None:
        if not self._timed:
            self._timed = True
            self._later(1.0, self._renew)

    def _renew(self) -> None:
        self._timed = False
        self._told = self._failures = 0
        self.room = self._told_per_s > 0
