"""The store's database on a recorded disk: each transaction leaves a note of what it left.

A checkpoint comes after a few pages rather than 2,000, so that a short life has many; nothing else differs.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from leveret.store.database import Database, Recovered, Work
from powerloss.history import Copy, History
from powerloss.vfs import Recorder

CHECKPOINT_PAGES: Final = 60
WAL_BYTES_MAX: Final = 600_000
GATE_S: Final = 20


@dataclass
class Trace:
    """What was recorded. `commits`: the contents after each transaction (their digest), and where it had returned."""

    recorder: Recorder
    commits: list[tuple[int, str]] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    named: dict[str, History] = field(default_factory=dict)
    """Queues (value: their incarnation), exchanges, bindings and settings."""
    transient: set[int] = field(default_factory=set)
    """Numbers of messages that must not survive a restart."""


def contents(connection: sqlite3.Connection) -> str:
    """A digest of every row there is."""
    digest = hashlib.sha256()
    for table in ("queue", "exchange", "binding", "setting", "message", "gone"):
        for row in connection.execute(f"select * from {table} order by 1, 2"):
            digest.update(repr(row).encode())
    return digest.hexdigest()


class Gate:
    """The store's thread stops here before each slice of what is gone, so that the same seed makes the same trace."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._allowed = threading.Semaphore(0)
        self._left = threading.Semaphore(0)
        self._done = False

    def enter(self) -> None:
        self._arrived.release()
        self._allowed.acquire(timeout=GATE_S)

    def leave(self, done: bool) -> None:
        self._done = done
        self._left.release()

    def await_arrival(self) -> None:
        if not self._arrived.acquire(timeout=GATE_S):
            raise TimeoutError("the store's thread did not come to delete what is gone")

    def let_one(self) -> bool:
        """Let a slice be deleted; whether it was its range's last."""
        self._allowed.release()
        if not self._left.acquire(timeout=GATE_S):
            raise TimeoutError("the store's thread did not delete a slice")
        return self._done


class RecordedDatabase(Database):
    def __init__(self, path: Path, trace: Trace, gate: Gate | None = None) -> None:
        super().__init__(path)
        self._connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self._connection.execute(f"pragma journal_size_limit = {WAL_BYTES_MAX}")
        self._trace = trace
        self._gate: Gate | None = None
        self._gate_later = gate
        self._note()

    def _note(self) -> None:
        self._trace.commits.append((self._trace.recorder.now(), contents(self._connection)))

    def commit(self, work: Work) -> None:
        super().commit(work)
        self._note()

    def delete_slice(self, first: int, last: int) -> bool:
        if self._gate is not None:
            self._gate.enter()
        done = super().delete_slice(first, last)
        self._note()
        if self._gate is not None:
            self._gate.leave(done)
        return done

    def recover(self) -> Recovered:
        recovered = super().recover()
        self._note()
        self._gate = self._gate_later
        return recovered
