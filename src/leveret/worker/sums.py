"""How tasks ended since the last beat: what the tally has counted, less what it had by then. Pure; used by announcer.

The tally counts every task anyway. So a beat can tell of all that ended, and events need only be made of some of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.tasks.events import Ended, Endings
from leveret.worker.counts import Count

KINDS: Final = ("succeeded", "failed", "retried", "parked", "cancelled")

Key = tuple[str, str]
"""Queue and task."""
Numbers = tuple[int, ...]
"""One for each of KINDS."""
Mark = dict[Key, tuple[Numbers, Numbers, float]]
"""At some moment: how many had ended, of how many of these an event was made, and how long they had taken, in seconds."""

NONE: Final = (0,) * len(KINDS)


class Sums:
    def __init__(self) -> None:
        self._counts: Callable[[], list[Count]] = list
        self._told: dict[Key, list[int]] = {}
        self._passed: Mark = {}

    def open(self, counts: Callable[[], list[Count]]) -> None:
        self._counts = counts

    def told(self, queue: str, task: str, kind: str) -> None:
        """An event of that kind was made."""
        self._told.setdefault((queue, task), list(NONE))[KINDS.index(kind)] += 1

    def mark(self) -> Mark:
        """As it is now."""
        return {(one.queue, one.task): (_ended(one), self._of(one), one.took_s) for one in self._counts()}

    def _of(self, count: Count) -> Numbers:
        return tuple(self._told.get((count.queue, count.task), NONE))

    def passed(self, mark: Mark) -> None:
        """All up to then was said, or nobody is there to hear it."""
        self._passed = mark

    def since(self, mark: Mark) -> list[Ended]:
        """What had ended at `mark` and not when it was last passed."""
        return [
            _difference(key, now, self._passed.get(key, (NONE, NONE, 0.0)))
            for key, now in mark.items()
            if now != self._passed.get(key)
        ]


def _ended(count: Count) -> Numbers:
    return count.done, count.failed, count.retried, count.parked, count.cancelled


def _difference(key: Key, now: tuple[Numbers, Numbers, float], before: tuple[Numbers, Numbers, float]) -> Ended:
    queue, task = key
    ended = [one - other for one, other in zip(now[0], before[0], strict=True)]
    told = [one - other for one, other in zip(now[1], before[1], strict=True)]
    untold = [one - other for one, other in zip(ended, told, strict=True)]
    took_s = round(now[2] - before[2], 6)
    return Ended(queue=queue, task=task, all=_endings(ended), untold=_endings(untold), took_s=took_s)


def _endings(numbers: list[int]) -> Endings:
    return Endings(**dict(zip(KINDS, numbers, strict=True)))
