"""How long tasks take, as far as it decides how they are run and how many are fetched ahead. Plain numbers; used by hands and source.

brief     most end so soon that waking a thread for each costs more than running them one after the other
quick     all of late ended so soon that some may wait in this process without keeping another idle
"""

from __future__ import annotations

from typing import Final

BRIEF_S: Final = 0.000_2
QUICK_S: Final = 0.15
SHORTER: Final = 0.9
LONGER: Final = 1.03
"""With these two steps `_typical_s` settles where a fifth of all tasks are shorter: a task that waits for the interpreter's
lock looks longer than it is."""

LONGEST_S: Final = 1.0
"""Beyond that nothing changes; so the change to shorter tasks is soon seen."""

ENOUGH: Final = 30
ENOUGH_MAX: Final = 1_000_000
"""So many quick ones in a row, before more are fetched; ten times as many after each time that this was a mistake."""


class Pace:
    """Of the tasks of one handler, or of one queue."""

    __slots__ = ("_enough", "_in_a_row", "_typical_s", "mean_s")

    def __init__(self) -> None:
        self._typical_s = LONGEST_S
        self._in_a_row = 0
        self._enough = ENOUGH
        self.mean_s = 0.0
        """Of late."""

    @property
    def brief(self) -> bool:
        return self._typical_s < BRIEF_S

    @property
    def quick(self) -> bool:
        return self._in_a_row >= self._enough

    def took(self, took_s: float) -> None:
        typical_s = self._typical_s
        self._typical_s = typical_s * SHORTER if took_s < typical_s else min(typical_s * LONGER, LONGEST_S)
        self.mean_s += (took_s - self.mean_s) / 32
        if took_s < QUICK_S:
            self._in_a_row += 1
            return
        if self.quick:
            self._enough = min(10 * self._enough, ENOUGH_MAX)
        self._in_a_row = 0
