"""What queues looked like in the last minute and a half: figures asked for every two seconds, and what they come to.

In memory, bounded by the number of queues; for longer there is history. Read by the pages; run by app.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from leveret.dashboard.source import Figures, Source
from leveret.errors import LeveretError

log = logging.getLogger("leveret.dashboard")

EVERY_S: Final = 2.0
DEPTHS: Final = 45
COUNTS: Final = 8
"""Rates are over so many samples: RabbitMQ brings its counters up to date every five seconds only."""
MOMENTS: Final = 450
SLICE: Final = 200
"""So many queues are taken in before the others have their turn."""

PAUSE: Final = 4
"""A broker that is slow to tell has four times as long until it is asked again."""

Key = tuple[str, str]
T = TypeVar("T")


class Moment(NamedTuple):
    """All queues together. Rates are per second."""

    at: float
    ready: int
    unacked: int
    in_rate: float
    out_rate: float


class Track:
    """One queue: its latest figures, how many it held in the last minute and a half, and how its counters went."""

    __slots__ = ("_counts", "_held", "figures")

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self._held: deque[tuple[float, int, int]] = deque(maxlen=DEPTHS)
        self._counts: deque[tuple[float, int | None, int | None]] = deque(maxlen=COUNTS)

    def take(self, figures: Figures, at: float) -> None:
        self.figures = figures
        self._held.append((at, figures.ready, figures.unacked))
        if self._counts and fell(self._counts[-1][1], figures.published):
            self._counts.clear()  # declared anew
        self._counts.append((at, figures.published, figures.gone))

    @property
    def depths(self) -> list[int]:
        """Ready and unacknowledged together, the latest last."""
        return [ready + unacked for _, ready, unacked in self._held]

    def series(self) -> dict[str, list[Any]]:
        """As pages/series has it; rates are known for the present only."""
        held = list(self._held)
        unknown: list[float | None] = [None] * max(0, len(held) - 1)
        now = held[-1:]
        return {
            "at": [one[0] for one in held],
            "ready": [one[1] for one in held],
            "unacked": [one[2] for one in held],
            "in": unknown + [self.in_rate for _ in now],
            "out": unknown + [self.out_rate for _ in now],
        }

    @property
    def in_rate(self) -> float:
        return self._rate(1)

    @property
    def out_rate(self) -> float:
        return self._rate(2)

    def _rate(self, place: int) -> float:
        """Since the counter is known; one that appears began with nothing."""
        if len(self._counts) < 2:
            return 0.0
        first, last = self._counts[0], self._counts[-1]
        until: Any = last[place]
        since: Any = first[place]
        return max(0.0, ((until or 0) - (since or 0)) / (last[0] - first[0]))

    @property
    def growing(self) -> bool:
        """More now than at any time before, and more than half as much again as at first."""
        if len(self._held) <= DEPTHS // 3:
            return False
        first, last = (ready + unacked for _, ready, unacked in (self._held[0], self._held[-1]))
        return last > 1.5 * first + 10 and last >= max(self.depths)


def fell(before: int | None, now: int | None) -> bool:
    return before is not None and (now is None or now < before)


class Sampling:
    """`keep` is called with the figures of all queues and their time, by whoever keeps them longer."""

    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self._source: Final = source
        self._clock: Final = clock
        self.tracks: dict[Key, Track] = {}
        self.moments: deque[Moment] = deque(maxlen=MOMENTS)
        self.version = 0
        """Moves on with every sample."""
        self.trouble = ""
        """Why there are no figures just now."""
        self.keep: Callable[[list[Figures], float], object] | None = None

    @property
    def at(self) -> float:
        """When the latest figures are of; 0: there are none yet."""
        return self.moments[-1].at if self.moments else 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            started = self._clock()
            await self.sample()
            took_s = self._clock() - started
            await asyncio.sleep(max(EVERY_S - took_s, PAUSE * took_s))

    async def sample(self) -> None:
        try:
            figures = await self._source.figures()
        except LeveretError as error:
            if not self.trouble:
                log.warning("the broker does not tell how its queues are: %s", error)
            self.trouble = str(error)
        except Exception:  # of our own, or an API that answers strangely: the next time may be better
            log.exception("the figures of the queues cannot be read")
            self.trouble = "the figures of the queues cannot be read; the log of the dashboard says why"
        else:
            self.trouble = ""
            await self._take(figures, self._clock())
        self.version += 1

    async def _take(self, rows: list[Figures], at: float) -> None:
        seen: set[Key] = set()

        def take(row: Figures) -> bool:
            key = row.vhost, row.name
            seen.add(key)
            track = self.tracks.get(key)
            if track is None:
                track = self.tracks[key] = Track(row)
            track.take(row, at)
            return True

        await self.sliced(rows, take)
        for key in self.tracks.keys() - seen:
            del self.tracks[key]
        self.moments.append(await self.moment(at, list(self.tracks.values())))
        if self.keep is not None:
            self.keep(rows, at)

    async def moment(self, at: float, tracks: Iterable[Track]) -> Moment:
        """These queues together."""
        sums = [0.0] * 4

        def add(track: Track) -> bool:
            figures = track.figures
            for place, one in enumerate((figures.ready, figures.unacked, track.in_rate, track.out_rate)):
                sums[place] += one
            return False

        await self.sliced(tracks, add)
        return Moment(at, int(sums[0]), int(sums[1]), round(sums[2], 2), round(sums[3], 2))

    async def seen(self, vhosts: Collection[str]) -> list[Track]:
        """The queues of these virtual hosts."""
        return await self.sliced(list(self.tracks.values()), lambda track: track.figures.vhost in vhosts)

    async def sliced(self, among: Iterable[T], wanted: Callable[[T], bool]) -> list[T]:
        """Those that are wanted. `wanted` is asked of some at a time, and others have their turns between."""
        found = []
        for number, one in enumerate(among, 1):
            if wanted(one):
                found.append(one)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return found
