"""How often something happened: per second just now, and in each second of the last minute. Time is an argument."""

from __future__ import annotations

from typing import Final

KEPT_S: Final = 60
AHEAD_S: Final = 60
NOW_S: Final = 5


class Rate:
    """`total` counts all since it was made, at `since` seconds on the caller's clock."""

    def __init__(self, since: float) -> None:
        self.total = 0
        self._since = since
        self._slots = [0] * (KEPT_S + AHEAD_S)
        self._at = int(since)

    def add(self, now: float, number: int = 1, over_s: float = 0.0) -> None:
        """`over_s`: it was told of all that happened in so many seconds, and so it is shown in the seconds to come: for then
        the next is told. `total` has it at once."""
        self._turn(now)
        self.total += number
        seconds = max(1, min(round(over_s), AHEAD_S - 1))
        each, rest = divmod(number, seconds)
        for second in range(seconds):
            self._slots[(self._at + second) % len(self._slots)] += each + (second < rest)

    def per_s(self, now: float, over_s: int = NOW_S) -> float:
        """In the last `over_s` seconds that are over, or as many of them as were watched."""
        seconds = self.seconds(now)[-over_s:]
        watched_s = min(float(over_s), now - self._since)
        return sum(seconds) / watched_s if watched_s >= 1 else 0.0

    def last_minute(self, now: float) -> int:
        return sum(self.seconds(now))

    def seconds(self, now: float) -> list[int]:
        """One number for each second of the last minute, the earliest first; the one that is not over is left out."""
        self._turn(now)
        return [self._slots[second % len(self._slots)] for second in range(self._at - KEPT_S + 1, self._at)]

    def _turn(self, now: float) -> None:
        """Seconds that come up had none so far."""
        for second in range(self._at + 1, min(int(now), self._at + len(self._slots)) + 1):
            self._slots[(second + AHEAD_S - 1) % len(self._slots)] = 0
        self._at = max(self._at, int(now))
