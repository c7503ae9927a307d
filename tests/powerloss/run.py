"""Cuts the power: so many lives, each cut at many places, several images of the disk for each cut.

A cut has a number, and everything about it follows from seed and number: its life, its place there, its images.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from leveret.store import database
from leveret.store.store import FILE_NAME
from powerloss.acts import Acts
from powerloss.check import DOUBLED, LOST, Found, Judge, write_image
from powerloss.disk import Disk, Image
from powerloss.drain import drain
from powerloss.life import DIRECTORY, Life, Opens
from powerloss.recorded import RecordedDatabase, Trace
from powerloss.vfs import Recorder

LIFE_CUTS: Final = 100
LIFE_ACTS: Final = 500
IMAGES: Final = 3
SLICE_ROWS: Final = 5
DRAINED: Final = 0.2
"""Of the images, how many are opened by a broker too."""
CUT_AGAIN: Final = 0.05
"""How many lose their power once more while they are being recovered."""
PREFERRED: Final = 0.5
"""How many cuts come just after something was promised, committed or synced, rather than anywhere."""
MEMORY: Final = Path("/dev/shm")


@dataclass
class Tally:
    cuts: int = 0
    images: int = 0
    again: int = 0
    drained: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def take(self, found: Found, name: str) -> None:
        self.states.update(found.states)
        self.problems.update({problem.kind for problem in found.problems})
        self.failures += [f"{name}: {problem.kind}: {problem.text}" for problem in found.problems[:3]]


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory if there is one: nothing in it need be safe."""
    directory = Path(tempfile.mkdtemp(prefix="leveret-power-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def small_slices() -> Iterator[None]:
    """Deleted queues go in many transactions."""
    before = database.SLICE_ROWS
    database.SLICE_ROWS = SLICE_ROWS  # type: ignore[misc]
    try:
        yield
    finally:
        database.SLICE_ROWS = before  # type: ignore[misc]


def record(seed: str, opens: Opens = RecordedDatabase, acts: int = LIFE_ACTS) -> Trace:
    with scratch() as root, Recorder(root) as recorder:
        life = Life(recorder, opens)
        Acts(life, seed).live(acts)
        return life.trace


def places(trace: Trace) -> list[int]:
    """Where a cut hurts most: something has just been promised, or a commit has returned."""
    promised = {step.promised for copy in trace.copies for step in copy.places.steps if step.promised is not None}
    return sorted(promised | {position for position, _ in trace.commits})


class Campaign:
    """`only` is the number of the one cut to make."""

    def __init__(
        self,
        seed: int,
        cuts: int,
        opens: Opens = RecordedDatabase,
        only: int | None = None,
        progress: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self._seed: Final = seed
        self._numbers: Final = range(cuts) if only is None else range(only, only + 1)
        self._opens: Final = opens
        self._progress: Final = progress
        self.tally: Final = Tally()

    def run(self) -> Tally:
        with small_slices():
            for life in sorted({number // LIFE_CUTS for number in self._numbers}):
                trace = record(f"{self._seed}/life {life}", self._opens)
                numbers = [number for number in self._numbers if number // LIFE_CUTS == life]
                self._cut(trace, numbers)
                self._progress(self.tally)
        return self.tally

    def _cut(self, trace: Trace, numbers: list[int]) -> None:
        operations = trace.recorder.operations
        preferred = places(trace)
        cuts = []
        for number in numbers:
            random = Random(f"{self._seed}/{number}")
            likely = random.random() < PREFERRED
            cuts.append((random.choice(preferred) if likely else random.randrange(len(operations) + 1), number, random))
        disk, judge, done = Disk({}), Judge(trace), 0
        for at, number, random in sorted(cuts, key=lambda cut: cut[:2]):
            for operation in operations[done:at]:
                disk.perform(operation)
            done = at
            judge.pass_to(at)
            self.tally.cuts += 1
            for image in range(IMAGES):
                self._try(judge, disk.crash(random), at, f"cut {number}, image {image}", random)

    def _try(self, judge: Judge, image: Image, at: int, name: str, random: Random) -> None:
        with scratch() as root:
            write_image(image, root)
            found = judge.judge(root, at)
            self.tally.images += 1
            if not found.problems and random.random() < DRAINED:
                self._drain(root, found)
        self.tally.take(found, name)
        if not found.problems and random.random() < CUT_AGAIN:
            self._cut_again(judge, image, at, name, random)

    def _drain(self, root: Path, found: Found) -> None:
        self.tally.drained += 1
        given = drain(root)
        there = Counter({number: len(rows) for number, rows in found.rows.items()})
        for number in there - given:
            found.wrong(LOST, f"message {number} is on the disk, and no queue gives it out")
        for number in given - there:
            found.wrong(DOUBLED, f"message {number} was given out {given[number]} times")

    def _cut_again(self, judge: Judge, image: Image, at: int, name: str, random: Random) -> None:
        """The power fails once more, while the start after the first time is under way."""
        with scratch() as root:
            write_image(image, root)
            with Recorder(root, image) as recorder:
                trace = Trace(recorder)
                (root / DIRECTORY).mkdir(exist_ok=True)
                recovery = RecordedDatabase(root / DIRECTORY / FILE_NAME, trace)
                recovery.recover()
                recovery.close()
        disk = Disk(image)
        last = random.randrange(recorder.now() + 1)
        for operation in recorder.operations[:last]:
            disk.perform(operation)
        with scratch() as root:
            write_image(disk.crash(random), root)
            self.tally.take(judge.judge(root, at, [digest for _, digest in trace.commits]), f"{name}, second cut")
        self.tally.again += 1
