"""A store's file as its operator looks at it: read only, and while a broker runs on it as well.

All of it is one read transaction: what is seen belongs together, as of the moment when it was opened. Nothing is changed.
While it is open SQLite cannot shorten the write-ahead log, which grows with what the broker writes meanwhile.
Used by broker/audit and by the command line; the broker itself reads through store/database.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from leveret.errors import StoreError
from leveret.store.batch import POSITION_BITS
from leveret.store.database import BindingRow, ExchangeRow, Row, last_of
from leveret.store.directory import sync
from leveret.store.faults import unusable
from leveret.store.schema import check_ours

PAGES: Final = 256
"""Copied between two reports of progress."""
TICK_OPERATIONS: Final = 1_000_000
PROBLEMS_MAX: Final = 100


class QueueFigures(NamedTuple):
    """A row of the table `queue`: `messages` and `bytes` are what it says of itself."""

    id: int
    vhost: str
    name: str
    priority: int
    definition: str
    messages: int
    bytes: int


class Counted(NamedTuple):
    messages: int
    bytes: int
    transient: int


class Archive:
    """StoreError if there is no store at `path`, or it is not ours or cannot be read.

    `tick` is called every now and then while SQLite is at work.
    """

    def __init__(self, path: Path, tick: Callable[[], None] = lambda: None) -> None:
        if not path.exists():
            raise StoreError(f"there is no {path}")
        self.path: Final = path
        try:
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
            check_ours(self._connection, path)
            self._connection.set_progress_handler(tick, TICK_OPERATIONS)
            self._connection.execute("begin")
            self._gone = self._connection.execute("select first, last from gone order by first").fetchall()
        except sqlite3.Error as error:
            raise unusable(path, error) from None

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    # ---- what is in it

    def _all(self, sql: str, arguments: tuple[int, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise unusable(self.path, error) from None

    def queues(self) -> list[QueueFigures]:
        sql = "select id, vhost, name, priority, definition, messages, bytes from queue order by vhost, name, priority"
        return [QueueFigures(*row) for row in self._all(sql)]

    def exchanges(self) -> list[ExchangeRow]:
        return [ExchangeRow(*row) for row in self._all("select vhost, name, definition from exchange")]

    def bindings(self) -> list[BindingRow]:
        return [BindingRow(*row) for row in self._all("select key, vhost, definition from binding")]

    def settings(self) -> dict[str, str]:
        return dict(self._all("select key, value from setting"))

    def messages(self, queue_id: int) -> Iterator[Row]:
        """In order, read as they are asked for."""
        mask = (1 << POSITION_BITS) - 1
        for part in self._living(queue_id):
            rows = self._connection.execute(
                "select id, deliveries, expires, transient, data from message where id between ? and ? order by id",
                part,
            )
            try:
                for number, deliveries, expires, transient, data in rows:
                    yield Row(number & mask, deliveries, expires, bool(transient), data)
            except sqlite3.Error as error:
                raise unusable(self.path, error) from None

    def _living(self, queue_id: int) -> Iterator[tuple[int, int]]:
        """The queue's range of ids without what was purged and is still to be deleted."""
        first, last = queue_id << POSITION_BITS, last_of(queue_id)
        for gone_first, gone_last in self._gone:
            if gone_first <= last and gone_last >= first:
                if first < gone_first:
                    yield first, gone_first - 1
                first = gone_last + 1
        if first <= last:
            yield first, last

    # ---- is it in order

    def integrity(self, thorough: bool) -> list[str]:
        """What SQLite finds wrong with the file, in its words; `thorough` compares indexes with tables as well."""
        pragma = f"pragma {'integrity' if thorough else 'quick'}_check({PROBLEMS_MAX})"
        try:
            found = [str(line) for (line,) in self._connection.execute(pragma)]
        except sqlite3.Error as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def count(self, queue_id: int) -> Counted:
        """What the rows say of a queue."""
        total = Counted(0, 0, 0)
        for part in self._living(queue_id):
            sql = "select count(*), total(length(data)), total(transient) from message where id between ? and ?"
            ((messages, octets, transient),) = self._all(sql, part)
            total = Counted(total.messages + messages, total.bytes + int(octets), total.transient + int(transient))
        return total

    def stored_queues(self) -> Iterator[int]:
        """The numbers under which there are messages."""
        ((found,),) = self._all("select min(id) from message")
        while found is not None:
            yield found >> POSITION_BITS
            ((found,),) = self._all("select min(id) from message where id > ?", (last_of(found >> POSITION_BITS),))

    # ---- copies

    def back_up(self, target: Path, progress: Callable[[int, int], None]) -> None:
        """A copy that a broker can start from, complete or not there at all; `progress` is told pages done, and all.

        The broker goes on writing meanwhile; the copy is as of the moment when this was opened.
        """
        unfinished = target.with_name(f"{target.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        try:
            copy = sqlite3.connect(unfinished, isolation_level=None)
            try:
                copy.execute("pragma synchronous = off")
                self._connection.backup(
                    copy, pages=PAGES, progress=lambda status, left, total: progress(total - left, total)
                )
                copy.execute("pragma journal_mode = delete")
            finally:
                copy.close()
            sync(unfinished)
            for log in ("-wal", "-shm"):  # of what was at that place before: not of this file
                target.with_name(target.name + log).unlink(missing_ok=True)
            unfinished.replace(target)
            sync(target.parent)
        except sqlite3.Error as error:
            raise StoreError(f"{target} was not written: {error}") from None
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)


def compact(path: Path) -> tuple[int, int]:
    """Write the file anew without what is free in it; octets before and after. Nobody else may have it open.

    StoreError if the disk has no room for the second copy that this takes for a while.
    """
    before = path.stat().st_size
    free = os.statvfs(path.parent).f_bavail * os.statvfs(path.parent).f_frsize
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        check_ours(connection, path)
        (pages,) = connection.execute("pragma page_count").fetchone()
        (unused,) = connection.execute("pragma freelist_count").fetchone()
        needed = 2 * before * (pages - unused) // max(1, pages)
        if free < needed:
            raise StoreError(
                f"compacting {path} takes up to {needed:,} octets of disk for a while, and {free:,} are free; "
                "free some, or set SQLITE_TMPDIR to a disk with more"
            )
        connection.execute("vacuum")
        connection.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.Error as error:
        raise StoreError(f"{path} was not compacted and is as it was: {error}") from None
    finally:
        connection.close()
    return before, path.stat().st_size
