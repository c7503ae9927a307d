"""Runs `leveret` with a watchdog on its event loop: `python -m bench.watchdog FILE broker …`.

The loop is asked every few milliseconds whether it is there; whenever it answers late, a line says when (CLOCK_MONOTONIC)
and for how long it did not, and for how much of that the operating system let others run on its processor. `stops` reads them.
Linux only (/proc). Used by `bench.deep`.
"""

import asyncio
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import NamedTuple, TextIO

import uvloop

from leveret.cli.main import main

TICK_S = 0.005
TOLD_S = 0.010


class Stop(NamedTuple):
    """The loop did not answer for `lasted_s` from `began` on; `waited_s` of it for a processor."""

    began: float
    lasted_s: float
    waited_s: float

    @property
    def own_ms(self) -> float:
        """What the program itself is to blame for."""
        return max(0.0, self.lasted_s - self.waited_s) * 1e3


def stops(file: Path, since: float) -> list[Stop]:
    """Those that began after `since` (monotonic seconds), as far as they are written."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [stop for stop in (Stop(*map(float, line.split())) for line in lines) if stop.began >= since]


class Watchdog:
    def __init__(self, loop: asyncio.AbstractEventLoop, file: TextIO) -> None:
        self._loop = loop
        self._file = file
        self._schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._waited = self._waited_s()
        self._due = monotonic()

    def _waited_s(self) -> float:
        return int(self._schedstat.read_text().split()[1]) / 1e9

    def tick(self) -> None:
        now, waited = monotonic(), self._waited_s()
        if now - self._due > TOLD_S:
            print(f"{self._due:.6f} {now - self._due:.6f} {waited - self._waited:.6f}", file=self._file, flush=True)
        self._waited = waited
        self._due = now + TICK_S
        self._loop.call_later(TICK_S, self.tick)


def watch(file: Path) -> None:
    """Every loop that is made from now on has a watchdog."""
    new_event_loop = uvloop.new_event_loop

    def watched() -> uvloop.Loop:
        loop = new_event_loop()
        loop.call_soon(lambda: Watchdog(loop, file.open("a")).tick())
        return loop

    uvloop.new_event_loop = watched


if __name__ == "__main__":
    watch(Path(sys.argv.pop(1)))
    main()
