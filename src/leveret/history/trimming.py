"""Keeps a history within its limits: by number, age and size. What succeeded goes first, the oldest of it before the rest.

A little more goes than has to, so that it is not done all the time. Used by history/recorder.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from leveret.history.rows import Limits
from leveret.history.schema import STEPS

EVERY_S: Final = 10.0
SLACK: Final = 0.05
DAY_S: Final = 24 * 3600
FAILURES_MAX: Final = 50_000
FREED_PAGES: Final = 2_000
"""So many are given back to the file system at a time."""

OLDEST: Final = "delete from task where rowid in (select rowid from task order by precious, changed limit ?)"
OLDEST_FAILURES: Final = "delete from failure where at <= (select at from failure order by at desc limit 1 offset ?)"
OLDEST_FIGURES: Final = (
    "delete from figure where (step, subject, at) in (select step, subject, at from figure order by step, at limit ?)"
)
IDLE: Final = "delete from subject where not exists (select 1 from figure where subject = subject.id and step = 900)"


class Trimming:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._due = 0.0

    def trim(self, connection: sqlite3.Connection, now: float) -> bool:
        """Whether subjects went, of which the caller knows by heart."""
        if 0 <= now - (self._due - EVERY_S) < EVERY_S:
            return False
        self._due = now + EVERY_S
        self._by_age(connection, now)
        self._by_number(connection)
        self._by_size(connection)
        return connection.execute(IDLE).rowcount > 0

    def _by_age(self, connection: sqlite3.Connection, now: float) -> None:
        oldest = now - self._limits.days * DAY_S
        connection.execute("delete from task where changed < ?", (oldest,))
        connection.execute("delete from failure where at < ?", (oldest,))
        for step, kept_s in STEPS.items():
            connection.execute(
                "delete from figure where step = ? and at < ?", (step, now - kept_s if kept_s else oldest)
            )

    def _by_number(self, connection: sqlite3.Connection) -> None:
        most = self._limits.tasks_max
        (count,) = connection.execute("select count(*) from task").fetchone()
        if count > most:
            connection.execute(OLDEST, (count - int(most * (1 - SLACK)),))
        connection.execute(OLDEST_FAILURES, (FAILURES_MAX,))

    def _by_size(self, connection: sqlite3.Connection) -> None:
        for _ in range(int(1 / SLACK) + 1):
            if used(connection) <= self._limits.bytes_max:
                break
            for table, statement in (("task", OLDEST), ("figure", OLDEST_FIGURES)):
                (count,) = connection.execute(f"select count(*) from {table}").fetchone()
                connection.execute(statement, (max(1, int(count * 2 * SLACK)),))
        connection.execute(f"pragma incremental_vacuum({FREED_PAGES})").fetchall()


def used(connection: sqlite3.Connection) -> int:
    """Octets of the database that hold something."""
    pages, free, size = (
        connection.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
