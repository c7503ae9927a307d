"""The one door to the disk: every statement that touches the database is here.

`commit` runs a prepared batch as one transaction; it is called on the store's thread only, `recover` before that starts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from leveret.store.batch import LENGTH_BITS, POSITION_BITS, Statements
from leveret.store.schema import damaged, open_database

SLICE_ROWS: Final = 5_000
"""Rows of a deleted queue that go in one transaction, so that other commits do not wait long."""

_MASK: Final = (1 << LENGTH_BITS) - 1
_DATA: Final = f"substr(?1, ({{0}} >> {LENGTH_BITS}) + 1, {{0}} & {_MASK})"
INSERT_PLAIN: Final = f"insert into message select key, 0, 0, 0, {_DATA.format('value')} from json_each(?2)"
INSERT_FULL: Final = (
    "insert into message select key, json_extract(value, '$[1]'), json_extract(value, '$[2]'), "
    "json_extract(value, '$[3]'), " + _DATA.format("json_extract(value, '$[0]')") + " from json_each(?2)"
)
TOUCH: Final = (
    "update message set deliveries = touched.value from json_each(?) as touched "
    "where message.id = cast(touched.key as integer)"
)
REMOVE: Final = "delete from message where id in (select value from json_each(?))"
QUEUES: Final = (
    "select id, vhost, name, priority, definition, messages, bytes, delivered from queue order by priority, id"
)
ACCOUNT: Final = (
    "update queue set messages = messages + ?, bytes = bytes + ?, delivered = max(delivered, ?) where id = ?"
)


class Row(NamedTuple):
    position: int
    deliveries: int
    expires: int
    transient: bool
    data: bytes


class QueueRow(NamedTuple):
    id: int
    vhost: str
    name: str
    priority: int
    definition: str
    messages: int
    bytes: int
    delivered: int
    last_position: int
    """The highest position that was ever delivered or is still there; -1 if there is none."""


class ExchangeRow(NamedTuple):
    vhost: str
    name: str
    definition: str


class BindingRow(NamedTuple):
    key: str
    vhost: str
    definition: str


@dataclass
class Recovered:
    queues: list[QueueRow] = field(default_factory=list)
    exchanges: list[ExchangeRow] = field(default_factory=list)
    bindings: list[BindingRow] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Load:
    """A request for the messages of a queue from a position on."""

    queue_id: int
    first: int
    limit_count: int
    limit_bytes: int
    callback: Callable[[list[Row]], None]
    rows: list[Row] = field(default_factory=list)


@dataclass
class Work:
    """A batch as the database runs it: segments, and before each the statements that belong there."""

    segments: list[Statements]
    others: list[tuple[int, str, tuple[object, ...]]]
    accounts: list[tuple[int, int, int, int]]
    loads: list[Load]


class Database:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_database(path)

    def commit(self, work: Work) -> None:
        """One transaction, synced to disk when this returns; then the loads, which see it. Any error means: not done."""
        execute = self._connection.execute
        execute("begin immediate")
        others = iter([*work.others, (len(work.segments), "", ())])
        at, sql, arguments = next(others)
        for number, segment in enumerate(work.segments):
            while at <= number and sql:
                execute(sql, arguments)
                at, sql, arguments = next(others)
            self._segment(segment)
        while sql:
            execute(sql, arguments)
            at, sql, arguments = next(others)
        if work.accounts:
            self._connection.executemany(ACCOUNT, work.accounts)
        execute("commit")
        for load in work.loads:
            self._load(load)

    def _segment(self, segment: Statements) -> None:
        execute = self._connection.execute
        if segment.plain:
            execute(INSERT_PLAIN, (segment.blob, segment.plain))
        if segment.full:
            execute(INSERT_FULL, (segment.blob, segment.full))
        if segment.touched:
            execute(TOUCH, (segment.touched,))
        if segment.removed:
            execute(REMOVE, (segment.removed,))

    def _load(self, load: Load) -> None:
        first = load.queue_id << POSITION_BITS | load.first
        last = (load.queue_id + 1 << POSITION_BITS) - 1
        mask = (1 << POSITION_BITS) - 1
        left = load.limit_bytes
        rows = self._connection.execute(
            "select id, deliveries, expires, transient, data from message where id between ? and ? order by id limit ?",
            (first, last, load.limit_count),
        )
        for number, deliveries, expires, transient, data in rows:
            load.rows.append(Row(number & mask, deliveries, expires, bool(transient), data))
            left -= len(data)
            if left <= 0:
                break
        rows.close()

    def ranges_gone(self) -> list[tuple[int, int]]:
        """Ranges of ids that are still to be deleted."""
        return self._connection.execute("select first, last from gone order by first").fetchall()

    def delete_slice(self, first: int, last: int) -> bool:
        """Delete some rows of the range; True when none is left and the range is struck off."""
        execute = self._connection.execute
        execute("begin immediate")
        chosen = "select id from message where id between ? and ? limit ?"
        deleted = execute(f"delete from message where id in ({chosen})", (first, last, SLICE_ROWS)).rowcount
        done = deleted < SLICE_ROWS
        if done:
            execute("delete from gone where first = ?", (first,))
        execute("commit")
        return done

    def recover(self) -> Recovered:
        """What there is. Deletions under way are finished and transient messages deleted first: a restart ends them."""
        try:
            self._finish_deletions()
            self._drop_transients()
            execute = self._connection.execute
            queues = [self._queue(*row) for row in execute(QUEUES)]
            exchanges = [ExchangeRow(*row) for row in execute("select vhost, name, definition from exchange")]
            bindings = [BindingRow(*row) for row in execute("select key, vhost, definition from binding")]
            settings = dict(execute("select key, value from setting"))
        except sqlite3.Error as error:
            raise damaged(self._path, error) from None
        return Recovered(queues, exchanges, bindings, settings)

    def _finish_deletions(self) -> None:
        """What was purged or deleted before the end must neither be read again nor hold its queue's number."""
        for first, last in self.ranges_gone():
            while not self.delete_slice(first, last):
                pass

    def _drop_transients(self) -> None:
        execute = self._connection.execute
        execute("begin immediate")
        per_queue = execute(
            f"select id >> {POSITION_BITS}, count(*), sum(length(data)) from message "
            f"where transient = 1 group by id >> {POSITION_BITS}"
        ).fetchall()
        for queue_id, count, size in per_queue:
            execute(ACCOUNT, (-count, -size, -1, queue_id))
        if per_queue:
            execute("delete from message where transient = 1")
        execute("commit")

    def _queue(
        self,
        number: int,
        vhost: str,
        name: str,
        priority: int,
        definition: str,
        messages: int,
        size: int,
        delivered: int,
    ) -> QueueRow:
        first, last = number << POSITION_BITS, (number + 1 << POSITION_BITS) - 1
        (highest,) = self._connection.execute(
            "select max(id) from message where id between ? and ?", (first, last)
        ).fetchone()
        position = -1 if highest is None else highest - first
        return QueueRow(number, vhost, name, priority, definition, messages, size, delivered, max(position, delivered))

    def close(self) -> None:
        """Move the WAL into the database and close it; a transaction that failed half way is undone."""
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
            self._connection.execute("pragma wal_checkpoint(truncate)")
        finally:
            self._connection.close()
