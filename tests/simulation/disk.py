"""A store whose disk obeys the seed: each commit takes its time, is heard of later, and finds the disk full or failing.

The store's thread is real, but moves only while the loop waits for it: at `Gate`, before each commit, and where it waits
for room. So whatever the threads' scheduler does, the same happens.
"""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from leveret.store import committer
from leveret.store.database import Database, Load, Work
from leveret.store.schema import BUSY_MS
from leveret.store.store import Store
from simulation.loop import THREAD_S, VirtualLoop

GO, FULL, FAIL, DIE = "go", "full", "fail", "die"
FOREVER_S = 1e6


class Killed(BaseException):
    """The process is gone: nothing more is written."""


def error_of(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Gate:
    """Where the store's thread waits until it is told what becomes of its commit."""

    def __init__(self) -> None:
        self.open_to: str | None = None
        """What every commit is told from now on, without waiting."""
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._again = False
        self._begun = False

    def pass_(self) -> str:
        self._again = self._begun = False
        if self.open_to is not None:
            return self.open_to
        self._arrived.put(None)
        return self._told.get(timeout=THREAD_S)

    def await_arrival(self) -> None:
        self._arrived.get(timeout=THREAD_S)

    def tell(self, outcome: str) -> None:
        self._told.put(outcome)

    def try_again(self) -> None:
        """To a thread that waits for room."""
        self._again = True

    def clock_s(self) -> float:
        """The time for that thread: none passes until it is to try again."""
        if not self._begun:
            self._begun = True
            return 0.0
        return FOREVER_S if self._again else 0.0


class SimulatedDatabase(Database):
    def __init__(self, path: Path, gate: Gate) -> None:
        super().__init__(path)
        self.gate = gate
        self._connection.execute("pragma synchronous = off")  # the power does not fail here

    def commit(self, work: Work, lock_ms: int = BUSY_MS) -> None:
        outcome = self.gate.pass_()
        if outcome == FULL:
            raise error_of(sqlite3.SQLITE_FULL, "database or disk is full")
        if outcome == FAIL:
            raise error_of(sqlite3.SQLITE_IOERR, "disk I/O error")
        if outcome == DIE:
            raise Killed
        self.write(work)

    def write(self, work: Work) -> None:
        super().commit(work)


class Condition:
    """How the disk is, whatever broker runs on it."""

    def __init__(self) -> None:
        self.full = False
        self.failing = False

    @property
    def outcome(self) -> str:
        return FAIL if self.failing else FULL if self.full else GO


class Disk:
    """Of one broker's life. `after(delay_s, call)` calls in the broker's process; `said` is told of what happens."""

    def __init__(
        self, loop: VirtualLoop, random: Random, condition: Condition, make: Callable[[Path, Gate], Database]
    ) -> None:
        self._loop = loop
        self._random = random
        self._condition = condition
        self._make = make
        self.gate = Gate()
        self._reports: list[Callable[[], object]] = []
        self._working = False
        self._stuck = False
        self._failed = False
        self._over = False
        self._committer: Any = None
        committer.monotonic = self.gate.clock_s  # type: ignore[assignment]

    def open_database(self, path: Path) -> Database:
        return self._make(path, self.gate)

    def attach(self, store: Store) -> None:
        """Before the store starts."""
        self._committer = store._committer
        self._put, self._read, self._hurry = self._committer.put, self._committer.read, self._committer.hurry
        self._committer.put, self._committer.read, self._committer.hurry = self._on_put, self._on_read, self._on_hurry
        self._commit_here, self._committer.commit_here = self._committer.commit_here, self._on_commit_here

    def delay_s(self) -> float:
        """Of a commit, and of the news of it."""
        return self._random.uniform(0, 0.004 if self._random.random() < 0.9 else 0.5)

    # ---- what the store asks of its thread

    def _on_put(self, work: Work) -> None:
        self._put(work)
        if not self._over:
            self._working = True
            self._loop.call_later(self.delay_s(), self._commit)

    def _on_commit_here(self, work: Work) -> bool:
        """The disk is quick now and then."""
        if self._over or self._random.random() < 0.5:
            return False
        self._committer._quick = committer.QUICK_IN_A_ROW
        self.gate.open_to = self._condition.outcome
        try:
            return bool(self._commit_here(work))
        finally:
            self.gate.open_to = None

    def _on_read(self, loads: list[Load], done: Callable[[], None]) -> None:
        """A commit is stuck, or has gone through just now and the store does not know yet."""
        self._read(loads, done)
        if not self._failed:
            self._reports.append(self._loop.report())
        self._loop.call_later(self.delay_s(), self._tell)

    def _on_hurry(self) -> None:
        """The broker ends in good order, and waits for what is still to be written: from now on nothing is slow."""
        self._over = True
        if self._working and not self._stuck:
            self.gate.await_arrival()
            self.gate.tell(self._condition.outcome)
        self.gate.open_to = self._condition.outcome
        for report in self._reports:
            self._committer.notify(report)
        self._working = self._stuck = False
        self._hurry()

    # ---- a commit

    def _commit(self) -> None:
        if self._over:
            return
        self.gate.await_arrival()
        outcome = self._condition.outcome
        self.gate.tell(outcome)
        if outcome == FULL:
            if not self._stuck:
                self._reports.append(self._loop.report())
            self._stuck = True
            self._loop.call_later(RETRY_S, self._try_again)
        else:
            if outcome == GO and self._stuck:
                self._reports.append(self._loop.report())
            self._reports.append(self._loop.report())
            self._working = self._stuck = False
            self._failed = outcome == FAIL
        self._loop.call_later(self.delay_s(), self._tell)

    def _try_again(self) -> None:
        if not self._over:
            self.gate.try_again()
            self._committer._inbox.put(None)
            self._commit()

    def _tell(self) -> None:
        """Not at once: meanwhile it is on disk, and nobody knows."""
        if not self._over:
            reports, self._reports = self._reports, []
            for report in reports:
                report()

    def kill(self) -> None:
        """The process is gone. What was being written may be on disk all the same, though nobody heard of it."""
        self._over = True
        thread = self._committer.thread
        if self._stuck:
            self.gate.open_to = DIE
            self._hurry()
        elif self._working:
            self.gate.await_arrival()
            self.gate.tell(DIE if self._condition.outcome != GO else self._random.choice((GO, DIE)))
        self._committer._inbox.put(committer.END)
        thread.join(THREAD_S)
        while not self._loop.reports.empty():
            self._loop.reports.get()


RETRY_S = committer.RETRY_S


@contextmanager
def on_virtual_time() -> Iterator[None]:
    """While a simulation runs the store's thread waits for room until it is told, not until a time."""
    before = committer.RETRY_S, committer.monotonic
    committer.RETRY_S = FOREVER_S  # type: ignore[misc]
    try:
        yield
    finally:
        committer.RETRY_S, committer.monotonic = before  # type: ignore[misc]
