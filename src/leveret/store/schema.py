"""The database's tables, and opening it: a file that is not ours, damaged or too new is refused and left as it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from leveret.errors import StoreError
from leveret.store.faults import unusable

APPLICATION_ID: Final = 0x4C455652  # "LEVR"
VERSION: Final = 2
PAGE_BYTES: Final = 8_192
CHECKPOINT_PAGES: Final = 2_000
WAL_BYTES_MAX: Final = 64 * 1024 * 1024
BUSY_MS: Final = 5_000
"""How long another program may have the file locked; Litestream asks for as much."""

CHECKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Up to this size the whole file is checked at start; above, what is read is."""

QUEUE: Final = """
-- A row for each priority of a queue that had messages; priority 0 is always there, and has the definition.
create table queue (
  id integer primary key, vhost text not null, name text not null, priority integer not null, definition text not null,
  messages integer not null default 0, bytes integer not null default 0,
  delivered integer not null default -1,
  unique (vhost, name, priority)
);
"""

MIGRATIONS: Final = {
    1: f"""
alter table queue rename to queue_1;
{QUEUE}
insert into queue select id, vhost, name, 0, definition, messages, bytes, delivered from queue_1;
drop table queue_1;
""",
}
"""From each earlier version to the next."""

TABLES: Final = f"""
{QUEUE}
create table exchange (vhost text not null, name text not null, definition text not null, primary key (vhost, name));
create table binding (key text primary key, vhost text not null, definition text not null);
create table setting (key text primary key, value text not null);
-- id is queue.id << 43 | position
create table message (
  id integer primary key, deliveries integer not null, expires integer not null, transient integer not null,
  data blob not null
);
create index message_transient on message (id) where transient = 1;
-- Ranges of message.id that are deleted, bit by bit: their rows count for nothing.
create table gone (first integer primary key, last integer not null);
"""


@contextmanager
def _private() -> Iterator[None]:
    """A file that is made is for its owner only; SQLite makes those beside it like it."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def open_database(path: Path) -> sqlite3.Connection:
    """The database at `path`, made if it is not there. StoreError says what is wrong with it and what to do."""
    new = not path.exists() or path.stat().st_size == 0
    try:
        with _private():
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
        new = new or _unfinished(connection)
        if not new:
            _check(connection, path)
        wait_for_locks(connection, BUSY_MS)
        connection.execute(f"pragma page_size = {PAGE_BYTES}")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"pragma journal_size_limit = {WAL_BYTES_MAX}")
        connection.execute("pragma cache_size = -65536")
        if new:
            _create(connection)
        else:
            _migrate(connection)
            # What a sync that failed before the last crash left in the log, the system may believe to be written.
            wait_for_locks(connection, 0)
            empty_log(connection)
            wait_for_locks(connection, BUSY_MS)
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    return connection


def empty_log(connection: sqlite3.Connection) -> None:
    """Move what the log holds into the database, and shorten it; who reads an older state keeps it from the latter.

    They are not to be waited for: a backup, a check or a replicator may go on for hours.
    """
    connection.execute("pragma wal_checkpoint(truncate)")


def wait_for_locks(connection: sqlite3.Connection, lock_ms: int) -> None:
    """What another program has locked is an error after so long."""
    connection.execute(f"pragma busy_timeout = {lock_ms}")


def _unfinished(connection: sqlite3.Connection) -> bool:
    """A file that the power was lost for before the transaction that makes its tables: there is nothing in it at all."""
    marks = [connection.execute(f"pragma {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return marks == [0, 0] and connection.execute("select count(*) from sqlite_master").fetchone()[0] == 0


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"begin; {TABLES} pragma application_id = {APPLICATION_ID}; pragma user_version = {VERSION}; commit;"
    )


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring an older file up to date, one version in one transaction."""
    version = connection.execute("pragma user_version").fetchone()[0]
    while version < VERSION:
        connection.executescript(f"begin; {MIGRATIONS[version]} pragma user_version = {version + 1}; commit;")
        version += 1


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """StoreError if it is another program's database, or one of a version that we do not know."""
    application_id = connection.execute("pragma application_id").fetchone()[0]
    version = connection.execute("pragma user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        raise StoreError(
            f"{path} is a database of another program; choose another --data directory (nothing was changed)"
        )
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer Leveret (format {version}, this one reads up to {VERSION}); "
            "upgrade Leveret or choose another --data directory (nothing was changed)"
        )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    check_ours(connection, path)
    if path.stat().st_size <= CHECKED_BYTES_MAX:
        report = connection.execute("pragma quick_check(1)").fetchone()[0]
        if report != "ok":
            raise unusable(path, report)
