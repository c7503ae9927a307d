"""What is to happen later: a heap of calls by time in milliseconds, and what time it is. The broker reads no clock; the
server asks `next_at`, tells the time to the Clock and calls `run` with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

SWEPT_MIN: Final = 1_000


class Clock:
    """The time of this turn, shared by all that need it."""

    def __init__(self) -> None:
        self.now: int = 0
        """Milliseconds since the epoch, set by the server before it lets anything happen."""


class Timer:
    """A call to come. Who has it may `cancel` it, and has to when he ends: until then it keeps him in memory."""

    def __init__(self, timers: Timers, call: Callable[[], None]) -> None:
        self._timers: Final = timers
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        if self.call is not None:
            self.call = None
            self._timers.one_less()


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._added: int = 0
        self._cancelled: int = 0
        self.changed: Callable[[], None] = lambda: None

    def add(self, at_ms: int, call: Callable[[], None]) -> Timer:
        self._added += 1
        timer = Timer(self, call)
        heapq.heappush(self._heap, (at_ms, self._added, timer))
        if self._heap[0][0] == at_ms:
            self.changed()
        return timer

    def next_at(self) -> int:
        """When the next call is due; 0 if there is none."""
        return self._heap[0][0] if self._heap else 0

    def run(self, now_ms: int) -> None:
        """Make every call that is due."""
        while self._heap and self._heap[0][0] <= now_ms:
            timer = heapq.heappop(self._heap)[2]
            call, timer.call = timer.call, None
            if call is None:
                self._cancelled -= 1
            else:
                call()

    def one_less(self) -> None:
        """A call was cancelled. Its place is empty, and swept once there are more empty places than others."""
        self._cancelled += 1
        if self._cancelled > SWEPT_MIN and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
