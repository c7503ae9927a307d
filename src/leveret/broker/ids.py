"""Numbers for queues and their levels: the upper part of each stored message's key. Given out by broker/vhost."""

from __future__ import annotations

import heapq
from typing import Final

from leveret.errors import ChannelError

COUNT_MAX: Final = (1 << 20) - 1
"""A key has so much room for them (broker/message)."""


class QueueIds:
    """The lowest free number first; 406 if there is none."""

    def __init__(self) -> None:
        self._next = 1
        self._free: list[int] = []

    def take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        if self._next > COUNT_MAX:
            text = f"the store has no number for one more queue or priority of a queue: it has {COUNT_MAX} of them"
            raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
        self._next += 1
        return self._next - 1

    def give(self, number: int) -> None:
        heapq.heappush(self._free, number)

    def used(self, numbers: set[int]) -> None:
        """At start: these are taken."""
        self._next = max(numbers, default=0) + 1
        self._free = sorted(set(range(1, self._next)) - numbers)
