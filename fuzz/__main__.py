"""The command line of the fuzzer: which invariant to attack, for how long, from which seed.

At the end a table. Exit code 0: nothing was found. 1: something was; the input is in fuzz/found/, and the line that replays
it is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple, Protocol

from fuzz import FOUND, Broken
from fuzz.live import Live
from fuzz.machines import Machines

PROGRESS_S = 5.0
FRAMES = 6_000_000


class Target(Protocol):
    def check(self, rng: Random) -> int:
        """One case; how many frames it had. Broken if the invariant does not hold."""

    def facts(self) -> str:
        """After the last case: what else was found to hold. Broken if something does not."""


@contextlib.contextmanager
def machines() -> Iterator[Target]:
    yield Machines()


TARGETS: dict[str, Callable[[], contextlib.AbstractContextManager[Target]]] = {"machines": machines, "broker": Live}


class Row(NamedTuple):
    """One target's line in the table."""

    target: str
    cases: str
    frames: str
    seconds: str
    per_second: str
    found: str
    besides: str


HEAD = Row("target", "cases", "frames", "s", "frames/s", "found", "besides")


def attack(name: str, seed: int, first: int, seconds: float, frames_max: int) -> Row:
    """Case after case until the time or the number of frames is reached. Broken at the first that breaks something."""
    begun = said = time.monotonic()
    frames, number = 0, first
    with TARGETS[name]() as target:
        try:
            while (now := time.monotonic()) - begun < seconds and frames < frames_max:
                frames += target.check(Random(f"{seed}/{number}"))
                number += 1
                if now - said > PROGRESS_S:
                    said = now
                    done = f"{number - first} cases, {frames} frames, {frames / (now - begun):.0f} frames/s"
                    print(f"{name}: {done}", flush=True)
            facts = target.facts()
        except Broken as broken:
            report(name, seed, number, broken)
            raise
    took = time.monotonic() - begun
    return Row(name, str(number - first), str(frames), f"{took:.0f}", f"{frames / took:.0f}", "0", facts)


def show(rows: list[Row]) -> None:
    widths = [max(len(row[place]) for row in (HEAD, *rows)) for place in range(len(HEAD))]
    for row in (HEAD, *rows):
        cells = [
            text.rjust(width) if 0 < place < 6 else text
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join([cells[0].ljust(widths[0]), *cells[1:]]))


def report(name: str, seed: int, number: int, broken: Broken) -> None:
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{name}-{seed}-{number}.bin"
    path.write_bytes(broken.data)
    print(f"{name}: case {number}: {broken}", file=sys.stderr)
    print(f"input: {path}; again: python -m fuzz {name} --seed {seed} --first {number}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description="Bytes that no honest peer would send.")
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--frames", type=int, default=FRAMES, help="for each target (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most so long for each target")
    parser.add_argument("--seed", type=int, default=None, help="default: from the time")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    chosen = parser.parse_args()
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    print(f"seed {seed}")
    try:
        rows = [
            attack(name, seed, chosen.first, chosen.seconds, chosen.frames)
            for name in (TARGETS if chosen.target == "all" else [chosen.target])
        ]
    except Broken:
        return 1
    show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
