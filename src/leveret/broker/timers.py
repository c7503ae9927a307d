"""What is to happen later: a heap of calls by time in milliseconds, and what time it is. The broker reads no clock; the
server asks `next_at`, tells the time to the Clock and calls `run` with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final


class Clock:
    """The time of this turn, shared by all that need it."""

    def __init__(self) -> None:
        self.now: int = 0
        """Milliseconds since the epoch, set by the server before it lets anything happen."""


class Timers:
    def __init__(self) -> None:
        self._heap: Final[list[tuple[int, int, Callable[[], None]]]] = []
        self._added = 0
        self.changed: Callable[[], None] = lambda: None

    def add(self, at_ms: int, call: Callable[[], None]) -> None:
        self._added += 1
        heapq.heappush(self._heap, (at_ms, self._added, call))
        if self._heap[0][0] == at_ms:
            self.changed()

    def next_at(self) -> int:
        """When the next call is due; 0 if there is none."""
        return self._heap[0][0] if self._heap else 0

    def run(self, now_ms: int) -> None:
        """Make every call that is due."""
        while self._heap and self._heap[0][0] <= now_ms:
            heapq.heappop(self._heap)[2]()
