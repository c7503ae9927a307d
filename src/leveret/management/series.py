"""The figures of one thing over time: of the last minutes each sample, of the time before one a minute. No clock, no I/O.

A row is kept only when a figure has changed, so that a queue in which nothing happens takes no memory. Written by
management/sampling, read by management/details and the dashboard.
"""

from __future__ import annotations

from array import array
from typing import Final

COARSE_MS: Final = 60_000


class Series:
    """Of `width` whole numbers."""

    __slots__ = ("_coarse", "_rows", "last", "load", "width")

    def __init__(self, width: int) -> None:
        self.width: Final = width + 1
        self.last: tuple[int, ...] = ()
        self.load = 0.0
        """Of a queue: the part of the time, lately, in which a new message would have been delivered at once."""
        # Row by row: the time in ms, then the figures.
        self._rows = array("q")
        self._coarse = array("q")

    def add(self, at_ms: int, figures: tuple[int, ...], rows_max: int, coarse_max: int) -> None:
        if figures == self.last:
            return
        self.last = figures
        row = array("q", (at_ms, *figures))
        self._rows += row
        if len(self._rows) > rows_max * self.width:
            del self._rows[: len(self._rows) - rows_max * self.width]
        if not self._coarse or at_ms - self._coarse[-self.width] >= COARSE_MS:
            self._coarse += row
            if len(self._coarse) > coarse_max * self.width:
                del self._coarse[: self.width]

    @property
    def changed_at_ms(self) -> int:
        """When a figure was last found changed; 0: never."""
        return self._rows[-self.width] if self._rows else 0

    def step(self, column: int, at_ms: int) -> int:
        """By how much the figure changed in the sample of that time, which is the newest; a first one is no change."""
        if len(self._rows) < 2 * self.width or self.changed_at_ms < at_ms:
            return 0
        return self._rows[-self.width + 1 + column] - self._rows[-2 * self.width + 1 + column]

    def values(self, column: int, times_ms: list[int]) -> list[int]:
        """The figure at each of these times, of which each is later than the one before; 0 before there was any."""
        found: list[int] = []
        fine_from = self._rows[0] if self._rows else 0
        at_coarse = at_fine = 0
        width, coarse, rows = self.width, self._coarse, self._rows
        for time in times_ms:
            if time < fine_from:
                while at_coarse < len(coarse) and coarse[at_coarse] <= time:
                    at_coarse += width
                found.append(coarse[at_coarse - width + 1 + column] if at_coarse else 0)
            else:
                while at_fine < len(rows) and rows[at_fine] <= time:
                    at_fine += width
                found.append(rows[at_fine - width + 1 + column] if at_fine else 0)
        return found
