"""Numbers for queues and their levels: the upper part of each stored message's key. Given out by broker/vhost."""

from __future__ import annotations

import heapq


class QueueIds:
    """The lowest free number first."""

    def __init__(self) -> None:
        self._next = 1
        self._free: list[int] = []

    def take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def give(self, number: int) -> None:
        heapq.heappush(self._free, number)

    def used(self, numbers: set[int]) -> None:
        """At start: these are taken."""
        self._next = max(numbers, default=0) + 1
        self._free = sorted(set(range(1, self._next)) - numbers)
