"""Results in one SQLite file, which all processes of one machine share. Made by WorkQueue for a path; see tasks/kept.

Tables outlive releases: columns are added, never changed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from leveret.errors import ResultsUnavailable
from leveret.tasks.kept import Kept, Results, ms
from leveret.tasks.replies import Error

WAIT_S: Final = 20.0
"""For another process that is writing."""

AGAIN_S: Final = 0.05

SWEPT_MAX: Final = 10_000
"""So many at a time: others want to write, too."""

TABLE: Final = """
create table if not exists result (
    id text primary key, task text not null, state text not null, attempts integer not null,
    started_ms integer not null, ended_ms integer not null, json blob not null, error text, until_ms integer not null
) without rowid;
create index if not exists result_until on result (until_ms);
"""
PUT: Final = """
insert into result values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set
    task = excluded.task, state = excluded.state, attempts = excluded.attempts, started_ms = excluded.started_ms,
    ended_ms = excluded.ended_ms, json = excluded.json, error = excluded.error, until_ms = excluded.until_ms
where result.state <> 'done'
"""
GET: Final = """
select id, task, state, attempts, started_ms, ended_ms, json, error from result where id = ? and until_ms > ?
"""
SWEEP: Final = """
delete from result where id in (select id from result where until_ms <= ? order by until_ms limit ?)
"""


class ResultFile(Results):
    """`path` is made when it is first used; its directory has to be there."""

    def __init__(self, path: str | Path) -> None:
        self.path: Final = Path(path).absolute()
        self._lock = threading.Lock()
        self._open: dict[int, sqlite3.Connection] = {}

    def put(self, kept: Kept, until: datetime) -> None:
        with self._connection() as connection:
            connection.execute(PUT, row_of(kept, until))

    def get(self, id: str, now: datetime) -> Kept | None:
        with self._connection() as connection:
            row = connection.execute(GET, (id, ms(now))).fetchone()
        return None if row is None else kept_of(row)

    def sweep(self, now: datetime) -> None:
        swept = SWEPT_MAX
        while swept == SWEPT_MAX:
            with self._connection() as connection:
                swept = connection.execute(SWEEP, (ms(now), SWEPT_MAX)).rowcount

    def close(self) -> None:
        with self._lock:
            connection = self._open.pop(os.getpid(), None)
            if connection is not None:
                connection.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """That of this process: SQLite's must not be carried over a fork."""
        try:
            with self._lock:
                connection = self._open.get(os.getpid()) or self._opened()
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise ResultsUnavailable(f"the results in {self.path} cannot be reached: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            _write_ahead(connection)
            connection.execute("pragma synchronous = full")
            connection.executescript(TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        self._open[os.getpid()] = connection
        return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """It may be refused at once while another process does the same, whatever the connection's patience."""
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until_s:
                raise
        time.sleep(AGAIN_S)


def row_of(kept: Kept, until: datetime) -> tuple[Any, ...]:
    error = None if kept.error is None else msgspec.json.encode(kept.error).decode()
    times = ms(kept.started), ms(kept.ended)
    return kept.id, kept.task, kept.state, kept.attempts, *times, kept.json, error, ms(until)


def kept_of(row: Any) -> Kept:
    id, task, state, attempts, started_ms, ended_ms, json, text = row
    error = None if text is None else msgspec.json.decode(text, type=Error)
    return Kept(id, task, state, attempts, _time(started_ms), _time(ended_ms), bytes(json), error)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
