"""The durable message store: gathers what is to be kept, and commits it on a thread of its own.

Group commit without a timer: while one transaction commits, the next batch gathers (patience tells the exceptions).
Everything here happens on the event loop's thread; the store's thread (store/committer) only runs prepared statements, so
that the interpreter lock is free meanwhile. A message or two that a quiet loop was sent it commits itself, if the disk is quick.

After a crash, at whatever moment, the database holds exactly the batches whose commit had returned:
1. before a batch's commit returned: none of its records is there, and none of them was reported durable;
2. after it returned, before the report: its records are there though nobody was told; publishers send them again;
3. a message acknowledged whose removal was not committed is there and will be delivered again, marked redelivered;
4. a queue deleted or purged in a committed batch is gone, though its rows may still have to be deleted (table `gone`); that
   goes on after the start, and nobody sees them meanwhile.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Final

from leveret.errors import StoreError
from leveret.store.batch import COMMITTING, DURABLE, FEW_ROWS, GATHERED, IDLE, POSITION_BITS, Batch, Record
from leveret.store.committer import Committer
from leveret.store.database import Database, Load, Range, Recovered, Row, Work
from leveret.store.directory import make_directory
from leveret.store.lock import DirectoryLock
from leveret.store.patience import Patience
from leveret.store.seeking import Seeker, Sought

FILE_NAME: Final = "leveret.db"
CROWDED_ROWS: Final = 20_000

LITTLE_ROWS: Final = FEW_ROWS
LITTLE_BYTES: Final = 64 * 1024
"""What the loop may commit itself."""


class Store:
    """`notify(call)` makes the loop call `call` soon, from any thread; `fatal(error)` is told of a failed commit, after
    which nothing is committed any more. `directory` None keeps nothing: everything is durable at once.

    On a full disk a commit is tried until there is room: `on_stuck` is told when that begins (with what is waited for) and
    when it is over (with nothing). Meanwhile everything gathers, and what is on disk can be read.
    """

    def __init__(
        self,
        directory: Path | None,
        notify: Callable[[Callable[[], None]], None],
        fatal: Callable[[BaseException], None],
        open_database: Callable[[Path], Database] = Database,
    ) -> None:
        self.directory: Final = directory
        self._fatal = fatal
        self._lock: DirectoryLock | None = None
        self._committer: Committer | None = None
        self._seeker: Seeker | None = None if directory is None else Seeker(directory / FILE_NAME)
        self._batch = Batch()
        self._others: list[tuple[int, str, tuple[object, ...]]] = []
        self._loads: list[Load] = []
        self._reports: list[Callable[[], None]] = []
        self._committing: Batch | None = None
        self._committing_others = False
        self._failed = False
        # Since the start: transactions and how long they took, messages in them, and what was read again.
        self.commits: int = 0
        self.commit_s: float = 0.0
        self.written_rows: int = 0
        self.written_bytes: int = 0
        self.loaded: int = 0
        self.loaded_rows: int = 0
        self.loaded_bytes: int = 0
        self.stuck: bool = False
        self.on_stuck: Callable[[str], None] = lambda reason: None
        self.wait_ms: int = 0
        self._stored: dict[int, int] = {}
        self._patience = Patience(self._stored)
        self._now_ms = 0
        if directory is not None:
            make_directory(directory)
            self._lock = DirectoryLock(directory)
            try:
                self._committer = Committer(open_database(directory / FILE_NAME), notify, self._set_stuck, self._stop)
            except BaseException:
                self._lock.release()
                raise

    # ---- life

    def recover(self) -> Recovered:
        """What survived. Call once, before `start`. StoreError if it cannot be read."""
        committer = self._committer
        if committer is None:
            return Recovered()
        recovered = committer.database.recover()
        self._stored.update((row.id, row.messages) for row in recovered.queues)
        for dead in recovered.dead:
            committer.delete(dead, lambda: None)
        return recovered

    def start(self) -> None:
        """From now on what is gathered is committed."""
        if self._committer is not None:
            self._committer.thread.start()

    def close(self) -> None:
        """Commit what was gathered, report it, and end. Reports are made by this call, not through `notify`.

        What cannot be committed now, because the disk is full, is given up: `fatal` is told.
        """
        committer, self._committer = self._committer, None
        if committer is None:
            return
        if committer.thread.is_alive():
            self._finish(committer)
        try:
            committer.database.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _finish(self, committer: Committer) -> None:
        reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        notify, committer.notify = committer.notify, reports.put
        committer.hurry()
        while not self._failed and (self._committing is not None or self._something()):
            if self._committing is None:
                self._hand_over(committer)
            reports.get()()
        committer.notify = notify
        committer.end()

    # ---- messages

    def add(self, record: Record) -> None:
        """Keep the record; `record.on_durable` is called when it is on disk, or needs not be there any more."""
        if self.directory is None:
            record.on_durable()
        else:
            self._batch.add(record)

    def remove(self, record: Record) -> None:
        """The message is done with. Not yet written: it never will be, and counts as durable at once."""
        state = record.state
        if state == GATHERED:
            self._batch.cancel(record)
            record.on_durable()
        elif state == COMMITTING or state == DURABLE:
            self._batch.remove(record)

    def touch(self, record: Record) -> None:
        """Keep the record's new count of deliveries."""
        if record.state == COMMITTING or record.state == DURABLE:
            self._batch.touch(record)

    def delivered(self, queue_id: int, position: int) -> None:
        """The highest position delivered; committed with whatever comes next."""
        if self.directory is not None:
            self._batch.delivered[queue_id] = position

    def purge(self, queue_id: int, first: int, last: int, messages: int, bytes_: int) -> None:
        """Delete the stored messages from position `first` to `last`, of which there are `messages` with `bytes_`."""
        self._batch.account(queue_id, -messages, -bytes_)
        base = queue_id << POSITION_BITS
        self._delete_range(base | first, base | last, lambda: None)

    def load(
        self,
        queue_id: int,
        first_position: int,
        limit_count: int,
        limit_bytes: int,
        callback: Callable[[list[Row]], None],
    ) -> None:
        """Read messages from a position on; everything added before this call is seen. At least one row, if any is.

        `first_position` must lie behind what was purged: purged rows may still be there for a while.
        """
        self._batch.barrier()
        self._loads.append(Load(queue_id, first_position, limit_count, limit_bytes, callback))

    def seek(self, octets: bytes, within_s: float) -> Sought:
        """Messages on disk that have these octets, as far as it can be told in that time. On any thread, which waits for it."""
        return Sought([], True) if self._seeker is None else self._seeker.seek(octets, within_s)

    # ---- queues, exchanges, bindings, settings

    def save_queue(self, queue_id: int, vhost: str, name: str, definition: str, priority: int = 0) -> None:
        """A queue's messages of one priority have a row and a number of their own; the one of priority 0 defines it."""
        sql = "insert into queue (id, vhost, name, priority, definition) values (?, ?, ?, ?, ?)"
        self._other(sql, queue_id, vhost, name, priority, definition)

    def delete_queue(self, queue_id: int, on_gone: Callable[[], None]) -> None:
        """With its messages; `on_gone` when the last of them is deleted and the id is free again."""
        if self.directory is None:
            on_gone()
            return

        def gone() -> None:
            self._stored.pop(queue_id, None)
            on_gone()

        self._other("delete from queue where id = ?", queue_id)
        first = queue_id << POSITION_BITS
        self._delete_range(first, first + (1 << POSITION_BITS) - 1, gone)

    def save_exchange(self, vhost: str, name: str, definition: str) -> None:
        self._other("insert or replace into exchange values (?, ?, ?)", vhost, name, definition)

    def delete_exchange(self, vhost: str, name: str) -> None:
        self._other("delete from exchange where vhost = ? and name = ?", vhost, name)

    def save_binding(self, key: str, vhost: str, definition: str) -> None:
        self._other("insert or replace into binding values (?, ?, ?)", key, vhost, definition)

    def delete_binding(self, key: str) -> None:
        self._other("delete from binding where key = ?", key)

    def save_setting(self, key: str, value: str) -> None:
        self._other("insert or replace into setting values (?, ?)", key, value)

    def delete_setting(self, key: str) -> None:
        self._other("delete from setting where key = ?", key)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call once all that was asked for so far is on disk."""
        if self.directory is None:
            call()
        else:
            self._batch.barrier()
            self._reports.append(call)

    def _other(self, sql: str, *arguments: object) -> None:
        if self.directory is not None:
            self._others.append((self._batch.barrier(), sql, arguments))

    def _delete_range(self, first: int, last: int, on_gone: Callable[[], None]) -> None:
        """Struck off in this batch, deleted in slices after it."""
        if self.directory is None:
            return
        self._other("insert or replace into gone values (?, ?)", first, last)
        self._reports.append(lambda: self._delete((first, last), on_gone))

    def _delete(self, gone: Range, on_gone: Callable[[], None]) -> None:
        if self._committer is not None:
            self._committer.delete(gone, on_gone)

    # ---- committing

    @property
    def pending_bytes(self) -> int:
        """Bytes of messages that wait for the disk."""
        committing = self._committing
        return self._batch.pending_bytes + (0 if committing is None else committing.pending_bytes)

    @property
    def defining(self) -> bool:
        """Something was declared, bound, changed or deleted that is not on disk yet."""
        return bool(self._others) or self._committing_others

    @property
    def pending_count(self) -> int:
        committing = self._committing
        return self._batch.count + (0 if committing is None else committing.count)

    @property
    def crowded(self) -> bool:
        """So much is gathered that long work, which goes on turn by turn, had better wait until it is handed over."""
        return self._batch.count + self._batch.changes > CROWDED_ROWS

    def flush_soon(self, now_ms: int, quiet: bool = False) -> None:
        """Called at the end of every turn of the loop: commit what is gathered, unless a commit is under way.

        `quiet`: nothing was written in that turn, so that whoever sent something waits for the disk alone.
        `wait_ms` is above 0 if it is left for later: then this is to be called again within so long.
        """
        self._now_ms = now_ms
        self.wait_ms = 0
        committer = self._committer
        if committer is None:
            return
        if self.stuck and self._loads:
            self._read(committer)
        if self._committing is None and not self._batch.empty and not self._failed:
            self.wait_ms = 0 if self._asked_for() else self._patience.waits(self._batch, now_ms)
            if not self.wait_ms:
                self._hand_over(committer, quiet and self._is_little)

    @property
    def _is_little(self) -> bool:
        batch = self._batch
        return (
            batch.count > 0
            and batch.count + batch.changes <= LITTLE_ROWS
            and batch.pending_bytes <= LITTLE_BYTES
            and not self._loads
        )

    def _read(self, committer: Committer) -> None:
        """What is on disk can be read while a commit is stuck. What is not there yet comes with the batch that has it."""
        loads = [load for load in self._loads if not load.tried]
        self._loads = [load for load in self._loads if load.tried]
        if loads:
            committer.read(loads, lambda: self._looked(loads))

    def _looked(self, loads: list[Load]) -> None:
        for load in loads:
            load.tried = True
            if load.rows:
                load.callback(load.rows)
            else:
                self._batch.barrier()
                self._loads.append(load)

    def _asked_for(self) -> bool:
        """Whether more than messages is gathered: something that is waited for, and that no acknowledgement spares."""
        return bool(self._others or self._loads or self._reports)

    def _something(self) -> bool:
        return not self._batch.empty or bool(self._batch.delivered)

    def _hand_over(self, committer: Committer, here: bool = False) -> None:
        batch = self._batch
        self._committing = batch
        self.written_rows += batch.count
        self.written_bytes += batch.pending_bytes
        segments = batch.prepare()
        touched = batch.messages.keys() | batch.delivered.keys()
        accounts = [
            (batch.messages.get(number, 0), batch.bytes.get(number, 0), batch.delivered.get(number, -1), number)
            for number in touched
        ]
        for number, messages in batch.messages.items():
            self._stored[number] = self._stored.get(number, 0) + messages
        others, loads, reports = self._others, self._loads, self._reports
        self._committing_others = bool(others)
        self._batch, self._others, self._loads, self._reports = Batch(), [], [], []
        # What `done` holds on to must not hold on to the work, whose messages are to be free as soon as they are written.
        work = Work(segments, others, accounts, loads, lambda: self._committed(batch, loads, reports))
        if not here or not self._commit_here(committer, work):
            committer.put(work)

    def _commit_here(self, committer: Committer, work: Work) -> bool:
        """False: it is to be put."""
        try:
            if not committer.commit_here(work):
                return False
        except StoreError as error:
            self._stop(error)
        else:
            work.done()
        return True

    def _committed(self, batch: Batch, loads: list[Load], reports: list[Callable[[], None]]) -> None:
        self._committing = None
        self._committing_others = False
        self.commits += 1
        if self._committer is not None:
            self.commit_s = self._committer.commit_s
        batch.durable()
        for report in reports:
            report()
        for load in loads:
            self.loaded += 1
            self.loaded_rows += len(load.rows)
            self.loaded_bytes += sum([len(row.data) for row in load.rows])
            load.callback(load.rows)
        self.flush_soon(self._now_ms)

    def _set_stuck(self, reason: str) -> None:
        self.stuck = reason != ""
        self.on_stuck(reason)

    def _stop(self, error: BaseException) -> None:
        self._failed = True
        self._fatal(error)


__all__ = ["IDLE", "Record", "Recovered", "Row", "Store"]
