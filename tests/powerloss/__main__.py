"""`make power-loss`: how many cuts, from which seed; the table at the end, and the line that replays what was found.

Exit code 0: nothing was lost. 1: something was. 2: nothing can be recorded here.
"""

from __future__ import annotations

import argparse
import sys
import time

from powerloss.check import (
    AT_REST,
    CAME_BACK,
    CORRUPT,
    DOUBLED,
    LOST,
    NOT_COMMITTED,
    NOT_REPORTED,
    REDELIVERED,
    STRUCK_OFF,
)
from powerloss.run import Campaign, Tally
from powerloss.vfs import missing

FAILURES_SHOWN = 20
PROGRESS_S = 5.0


class Progress:
    """A line every few seconds."""

    def __init__(self, cuts: int) -> None:
        self._cuts = cuts
        self.begun = self._said = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._said >= PROGRESS_S:
            self._said = now
            wrong = sum(tally.problems.values())
            print(f"{tally.cuts:,} of {self._cuts:,} cuts, {tally.images:,} images, {wrong} wrong", flush=True)


def table(tally: Tally, seconds: float) -> str:
    rows = [
        ("cuts", tally.cuts),
        ("images of the disk", tally.images),
        ("  started by a broker, and drained", tally.drained),
        ("  cut once more while recovering", tally.again),
        *((kind, tally.problems[kind]) for kind in (LOST, CORRUPT, CAME_BACK, DOUBLED)),
        *((state, tally.states[state]) for state in (AT_REST, NOT_COMMITTED, NOT_REPORTED, REDELIVERED, STRUCK_OFF)),
        ("seconds", round(seconds)),
    ]
    return "\n".join(f"{name:<36}{count:>9,}" for name, count in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m powerloss", description="Cut the power below the store.")
    parser.add_argument("--cuts", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="number of the one cut to make")
    given = parser.parse_args()
    if missing():
        print(missing(), file=sys.stderr)
        return 2
    progress = Progress(given.cuts)
    tally = Campaign(given.seed, given.cuts, only=given.only, progress=progress).run()
    print(table(tally, time.monotonic() - progress.begun))
    for failure in tally.failures[:FAILURES_SHOWN]:
        print(failure)
    if tally.failures:
        number = tally.failures[0].split(",")[0].removeprefix("cut ")
        print(f"again: python -m powerloss --seed {given.seed} --only {number}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
