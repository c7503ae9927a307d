"""The one door to the disk: every statement that touches the database is here.

`commit` runs a prepared batch as one transaction; it is called on the store's thread only, `recover` before that starts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from leveret.store.batch import LENGTH_BITS, POSITION_BITS, Statements
from leveret.store.faults import unusable
from leveret.store.schema import BUSY_MS, empty_log, open_database, wait_for_locks

SLICE_ROWS: Final = 5_000
"""Rows of a deleted queue that go in one transaction, so that other commits do not wait long."""

_MASK: Final = (1 << LENGTH_BITS) - 1
_DATA: Final = f"substr(?1, ({{0}} >> {LENGTH_BITS}) + 1, {{0}} & {_MASK})"
INSERT: Final = "insert into message values (?, ?, ?, ?, ?)"
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


NEXT_TRANSIENT: Final = "select id from message where transient = 1 and id >= ? order by id limit 1"
TRANSIENTS: Final = "select count(*), sum(length(data)) from message where transient = 1 and id between ? and ?"


def last_of(queue_id: int) -> int:
    """The highest id that a message of the queue can have."""
    return (queue_id + 1 << POSITION_BITS) - 1


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
    dead: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of message ids whose rows are still to be deleted; their queues' numbers are not free."""


@dataclass
class Load:
    """A request for the messages of a queue from a position on."""

    queue_id: int
    first: int
    limit_count: int
    limit_bytes: int
    callback: Callable[[list[Row]], None]
    rows: list[Row] = field(default_factory=list)
    tried: bool = False
    """Nothing of it was on disk when it was looked for while a commit was stuck."""


@dataclass
class Work:
    """A batch as the database runs it: segments, and before each the statements that belong there."""

    segments: list[Statements]
    others: list[tuple[int, str, tuple[object, ...]]]
    accounts: list[tuple[int, int, int, int]]
    loads: list[Load]
    done: Callable[[], None] = lambda: None
    """For the loop to call once it is committed."""


Range = tuple[int, int]
"""The first and the last id of messages."""


class Database:
    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._connection = open_database(path)
        self._lock_ms = BUSY_MS
        # Rows that were found dead at the start, in order: nobody is to see them while they are being deleted.
        self._dead: list[Range] = []

    def commit(self, work: Work, lock_ms: int = BUSY_MS) -> None:
        """One transaction, synced to disk when this returns; then the loads, which see it. Any error means: not done; it is one
        too if another program has the file locked for longer than `lock_ms`.
        """
        self._wait_for_locks(lock_ms)
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
            self.load(load)

    def _wait_for_locks(self, lock_ms: int) -> None:
        """To say so takes as long as to insert a message."""
        if lock_ms != self._lock_ms:
            wait_for_locks(self._connection, lock_ms)
            self._lock_ms = lock_ms

    def roll_back(self) -> None:
        """Undo what `commit` or `delete_slice` had done when it failed."""
        if self._connection.in_transaction:
            self._connection.rollback()

    def make_room(self) -> None:
        """Give back what the WAL takes of a full disk, as far as the database has room for what is in it."""
        self._wait_for_locks(0)
        with suppress(sqlite3.OperationalError):
            empty_log(self._connection)

    def _segment(self, segment: Statements) -> None:
        execute = self._connection.execute
        if segment.rows:
            self._connection.executemany(INSERT, segment.rows)
        if segment.plain:
            execute(INSERT_PLAIN, (segment.blob, segment.plain))
        if segment.full:
            execute(INSERT_FULL, (segment.blob, segment.full))
        if segment.touched:
            execute(TOUCH, (segment.touched,))
        if segment.removed:
            execute(REMOVE, (segment.removed,))

    def load(self, load: Load) -> None:
        """What is committed of it."""
        first = load.queue_id << POSITION_BITS | load.first
        mask = (1 << POSITION_BITS) - 1
        left = load.limit_bytes
        for lowest, highest in self._living(first, last_of(load.queue_id)):
            rows = self._connection.execute(
                "select id, deliveries, expires, transient, data from message where id between ? and ? "
                "order by id limit ?",
                (lowest, highest, load.limit_count - len(load.rows)),
            )
            for number, deliveries, expires, transient, data in rows:
                load.rows.append(Row(number & mask, deliveries, expires, bool(transient), data))
                left -= len(data)
                if left <= 0:
                    break
            rows.close()
            if left <= 0 or len(load.rows) >= load.limit_count:
                return

    def _living(self, first: int, last: int) -> Iterator[Range]:
        """The parts of a range that are not dead, of which there are nearly always none."""
        for dead_first, dead_last in self._dead:
            if dead_last >= first and dead_first <= last:
                if first < dead_first:
                    yield first, dead_first - 1
                first = dead_last + 1
        if first <= last:
            yield first, last

    def ranges_gone(self) -> list[Range]:
        """Ranges of ids that are still to be deleted."""
        return self._connection.execute("select first, last from gone order by first").fetchall()

    def delete_slice(self, first: int, last: int) -> bool:
        """Delete some rows of the range; True when none is left and the range is struck off."""
        self._wait_for_locks(BUSY_MS)
        execute = self._connection.execute
        execute("begin immediate")
        chosen = "select id from message where id between ? and ? limit ?"
        deleted = execute(f"delete from message where id in ({chosen})", (first, last, SLICE_ROWS)).rowcount
        done = deleted < SLICE_ROWS
        if done:
            execute("delete from gone where first = ? and last = ?", (first, last))
        execute("commit")
        return done

    def recover(self) -> Recovered:
        """What there is. What was deleted or not meant to survive is not seen any more; most of it is yet to be deleted."""
        try:
            execute = self._connection.execute
            rows = execute(QUEUES).fetchall()
            self._bury_orphans({row[0] for row in rows})
            self._dead = self.ranges_gone()
            self._drop_transients([row[0] for row in rows])
            queues = [self._queue(*row) for row in execute(QUEUES)]
            exchanges = [ExchangeRow(*row) for row in execute("select vhost, name, definition from exchange")]
            bindings = [BindingRow(*row) for row in execute("select key, vhost, definition from binding")]
            settings = dict(execute("select key, value from setting"))
        except sqlite3.Error as error:
            raise unusable(self.path, error) from None
        return Recovered(queues, exchanges, bindings, settings, self._dead)

    def _bury_orphans(self, queues: set[int]) -> None:
        """Paged messages of queues that were not durable are dead, by the queue."""
        execute = self._connection.execute
        found = execute(NEXT_TRANSIENT, (0,)).fetchone()
        while found is not None:
            number = found[0] >> POSITION_BITS
            if number not in queues:
                execute("insert or replace into gone values (?, ?)", (number << POSITION_BITS, last_of(number)))
            found = execute(NEXT_TRANSIENT, (number + 1 << POSITION_BITS,)).fetchone()

    def _drop_transients(self, queues: list[int]) -> None:
        """Those that were paged in a durable queue."""
        execute = self._connection.execute
        execute("begin immediate")
        for number in queues:
            for part in self._living(number << POSITION_BITS, last_of(number)):
                count, size = execute(TRANSIENTS, part).fetchone()
                if count:
                    execute(ACCOUNT, (-count, -size, -1, number))
                    execute("delete from message where transient = 1 and id between ? and ?", part)
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
        first, last = number << POSITION_BITS, last_of(number)
        (highest,) = self._connection.execute(
            "select max(id) from message where id between ? and ?", (first, last)
        ).fetchone()
        # New messages go behind what is dead as well: that may reach beyond the last row.
        dead = [dead_last for dead_first, dead_last in self._dead if first <= dead_first and dead_last <= last]
        position = max([highest if highest is not None else first - 1, *dead]) - first
        return QueueRow(number, vhost, name, priority, definition, messages, size, delivered, max(position, delivered))

    def close(self) -> None:
        """Move the WAL into the database and close it; a transaction that failed half way is undone.

        If there is no room for that, the next start reads the WAL.
        """
        try:
            self.roll_back()
            self.make_room()
        finally:
            self._connection.close()
