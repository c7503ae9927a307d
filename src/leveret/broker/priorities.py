"""The ready messages of a queue with x-max-priority: a level for each priority in use, the highest first.

Each level has a number of its own in the store, so that counts, order and paging are those of any queue; it is made when
the first message of its priority comes. Strict: nothing of a lower level goes while a higher one has a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.broker.backlog import Backlog
from leveret.broker.leaving import Part
from leveret.broker.level import Level
from leveret.broker.message import Message


class Priorities(Backlog):
    """`make` makes the level of a priority. Priorities above `highest` count as `highest`."""

    def __init__(self, highest: int, make: Callable[[int], Level]) -> None:
        self.highest: Final = highest
        self._make: Final = make
        self._by_priority: dict[int, Level] = {}
        self._levels: list[Level] = []

    @property
    def count(self) -> int:
        total = 0
        for level in self._levels:
            total += level.count
        return total

    @property
    def body_bytes(self) -> int:
        return sum([level.body_bytes for level in self._levels])

    @property
    def paged(self) -> int:
        return sum([level.paged for level in self._levels])

    def level(self, priority: int) -> Level:
        if priority > self.highest:
            priority = self.highest
        found = self._by_priority.get(priority)
        if found is None:
            found = self._make(priority)
            self.insert(priority, found)
        return found

    def insert(self, priority: int, level: Level) -> None:
        """A level that was just made, or found in the store at start."""
        level.narrow(self.highest + 1)
        self._by_priority[priority] = level
        self._levels = [self._by_priority[number] for number in sorted(self._by_priority, reverse=True)]

    def levels(self) -> list[Level]:
        return self._levels

    def _first(self) -> Level | None:
        for level in self._levels:
            if level.count:
                return level
        return None

    def head(self) -> Message | None:
        first = self._first()
        return None if first is None else first.head()

    def pop(self) -> Message:
        first = self._first()
        if first is None:
            raise IndexError("nothing is ready")
        return first.pop()

    def pop_expired(self, now: int) -> Message | None:
        for level in self._levels:
            message = level.pop_expired(now)
            if message is not None:
                return message
        return None

    def next_expiry(self) -> int:
        dues = [due for due in [level.next_expiry() for level in self._levels] if due]
        return min(dues) if dues else 0

    def purge(self) -> list[Part]:
        return [part for level in self._levels for part in level.purge()]
