"""`make simulate`: how many seeds, from which on; the table at the end, and the line that replays what was found.

Exit code 0: every promise held. 1: one was broken. The same seed gives the same story, to the last line of its trace.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from simulation.play import Outcome, play

PROGRESS_S = 5.0
SHOWN = 25
"""Lines of a broken seed's trace, the last ones."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Simulate broker, clients and faults.")
    parser.add_argument("--seeds", type=int, default=500, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first of them (default %(default)s)")
    parser.add_argument("--steps", type=int, default=200, help="things that happen in each (default %(default)s)")
    parser.add_argument("--trace", type=Path, help="write all that happened there, the seeds one after another")
    return parser.parse_args()


def simulate(seed: int, steps: int) -> Outcome:
    """In a process of its own: what goes wrong here on purpose is logged nowhere."""
    logging.disable(logging.CRITICAL)
    return play(seed, steps)


def progress(outcomes: Iterable[Outcome], seeds: int) -> Iterator[Outcome]:
    """A line every few seconds."""
    said, broken = time.monotonic(), 0
    for number, outcome in enumerate(outcomes, 1):
        broken += bool(outcome.broken)
        if time.monotonic() - said >= PROGRESS_S:
            said = time.monotonic()
            print(f"{number:,} of {seeds:,} seeds, {broken} broken", flush=True)
        yield outcome


def table(outcomes: list[Outcome], steps: int, seconds: float) -> str:
    deeds = sum((Counter(outcome.counts) for outcome in outcomes), Counter())
    rows = [
        ("seeds", len(outcomes)),
        ("steps", len(outcomes) * steps),
        ("hours of virtual time", round(sum(outcome.seconds for outcome in outcomes) / 3600)),
        *((f"  {deed}", count) for deed, count in sorted(deeds.items())),
        ("messages sent", sum(outcome.sent for outcome in outcomes)),
        ("  confirmed", sum(outcome.confirmed for outcome in outcomes)),
        ("  delivered again", sum(outcome.repeated for outcome in outcomes)),
        ("broken promises", sum(bool(outcome.broken) for outcome in outcomes)),
        ("seconds", round(seconds)),
    ]
    return "\n".join(f"{name:<30}{count:>12,}" for name, count in rows)


def main() -> int:
    asked = arguments()
    begun = time.monotonic()
    seeds = range(asked.seed, asked.seed + asked.seeds)
    outcomes = []
    with ProcessPoolExecutor() as pool:
        for outcome in progress(pool.map(partial(simulate, steps=asked.steps), seeds), asked.seeds):
            if asked.trace is not None:
                with asked.trace.open("a") as file:
                    file.writelines(f"{line}\n" for line in outcome.trace)
            if outcome.broken:
                print("", *outcome.trace[-SHOWN:], f"seed {outcome.seed}: {outcome.broken}", sep="\n")
                print(f"again: python -m simulation --seeds 1 --seed {outcome.seed} --steps {asked.steps}", flush=True)
            outcome.trace = []
            outcomes.append(outcome)
    print(table(outcomes, asked.steps, time.monotonic() - begun))
    return int(any(outcome.broken for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
