"""The command line of the fuzzer: which invariant to attack, for how long, from which seed.

Exit code 0: nothing was found. 1: something was; the input is in fuzz/found/, and the line that replays it is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from random import Random

from fuzz import FOUND, Broken
from fuzz.live import Live
from fuzz.machines import check as check_machines

Check = Callable[[Random], int]
PROGRESS_S = 5.0


@contextlib.contextmanager
def machines() -> Iterator[Check]:
    yield check_machines


@contextlib.contextmanager
def broker() -> Iterator[Check]:
    with Live() as live:
        yield live.check


TARGETS: dict[str, Callable[[], contextlib.AbstractContextManager[Check]]] = {"machines": machines, "broker": broker}


def attack(name: str, seed: int, first: int, seconds: float, frames_max: int) -> None:
    """Case after case until the time or the number of frames is reached. Broken at the first that breaks something."""
    begun = said = time.monotonic()
    frames, number = 0, first
    with TARGETS[name]() as check:
        while (now := time.monotonic()) - begun < seconds and frames < frames_max:
            try:
                frames += check(Random(f"{seed}/{number}"))
            except Broken as broken:
                report(name, seed, number, broken)
                raise
            number += 1
            if now - said > PROGRESS_S:
                said = now
                print(
                    f"{name}: {number - first} cases, {frames} frames, {frames / (now - begun):.0f} frames/s",
                    flush=True,
                )
    print(f"{name}: {number - first} cases, {frames} frames in {time.monotonic() - begun:.0f} s, nothing found")


def report(name: str, seed: int, number: int, broken: Broken) -> None:
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{name}-{seed}-{number}.bin"
    path.write_bytes(broken.data)
    print(f"{name}: case {number}: {broken}", file=sys.stderr)
    print(f"input: {path}; again: python -m fuzz {name} --seed {seed} --first {number}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description="Bytes that no honest peer would send.")
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default 60)")
    parser.add_argument("--frames", type=int, default=sys.maxsize, help="at most so many for each target")
    parser.add_argument("--seed", type=int, default=None, help="default: from the time")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    chosen = parser.parse_args()
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    print(f"seed {seed}")
    try:
        for name in TARGETS if chosen.target == "all" else [chosen.target]:
            attack(name, seed, chosen.first, chosen.seconds, chosen.frames)
    except Broken:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
