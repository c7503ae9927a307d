"""The durable message store: gathers what is to be kept, and commits it on a thread of its own.

Group commit without a timer: while one transaction commits, the next batch gathers (patience tells the one exception).
Everything but `_run` happens on the event loop's thread; the store's thread only runs prepared statements, so that the
interpreter lock is free meanwhile.

After a crash, at whatever moment, the database holds exactly the batches whose commit had returned:
1. before a batch's commit returned: none of its records is there, and none of them was reported durable;
2. after it returned, before the report: its records are there though nobody was told; publishers send them again;
3. a message acknowledged whose removal was not committed is there and will be delivered again, marked redelivered;
4. a queue deleted or purged in a committed batch is gone, though its rows may still have to be deleted (table `gone`).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from leveret.errors import StoreError
from leveret.store.batch import COMMITTING, DURABLE, GATHERED, IDLE, POSITION_BITS, Batch, Record
from leveret.store.database import Database, Load, Recovered, Row, Work
from leveret.store.lock import DirectoryLock
from leveret.store.patience import Patience

FILE_NAME: Final = "leveret.db"


class Store:
    """`notify(call)` makes the loop call `call` soon, from any thread; `fatal(error)` is told of a failed commit, after
    which nothing is committed any more. `directory` None keeps nothing: everything is durable at once.
    """

    def __init__(
        self,
        directory: Path | None,
        notify: Callable[[Callable[[], None]], None],
        fatal: Callable[[BaseException], None],
        open_database: Callable[[Path], Database] = Database,
    ) -> None:
        self.directory: Final = directory
        self._notify = notify
        self._fatal = fatal
        self._lock: DirectoryLock | None = None
        self._database: Database | None = None
        self._batch = Batch()
        self._others: list[tuple[int, str, tuple[object, ...]]] = []
        self._loads: list[Load] = []
        self._reports: list[Callable[[], None]] = []
        self._committing: Batch | None = None
        self._failed = False
        self._inbox: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._committer = threading.Thread(target=self._run, name="leveret-store", daemon=True)
        self._gone: deque[tuple[int, int]] = deque()
        self._gone_reports: dict[int, Callable[[], None]] = {}
        self.commits: int = 0
        self.waiting: bool = False
        self._stored: dict[int, int] = {}
        self._patience = Patience(self._stored)
        self._now_ms = 0
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = DirectoryLock(directory)
            try:
                self._database = open_database(directory / FILE_NAME)
            except BaseException:
                self._lock.release()
                raise

    # ---- life

    def recover(self) -> Recovered:
        """What survived. Call once, before `start`. StoreError if it cannot be read."""
        recovered = self._database.recover() if self._database is not None else Recovered()
        self._stored.update((row.id, row.messages) for row in recovered.queues)
        return recovered

    def start(self) -> None:
        """From now on what is gathered is committed."""
        if self._database is not None:
            self._committer.start()

    def close(self) -> None:
        """Commit what was gathered, report it, and end. Reports are made by this call, not through `notify`."""
        if self._database is None:
            return
        if self._committer.is_alive():
            reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
            self._notify, before = reports.put, self._notify
            while not self._failed and (self._committing is not None or self._something()):
                if self._committing is None:
                    self._hand_over()
                reports.get()()
            self._notify = before
            self._inbox.put(None)
            self._committer.join()
        database, self._database = self._database, None
        try:
            database.close()
        finally:
            if self._lock is not None:
                self._lock.release()

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
        self._gone_reports[first] = on_gone
        self._reports.append(lambda: self._gone.append((first, last)))

    # ---- committing

    @property
    def pending_bytes(self) -> int:
        """Bytes of messages that wait for the disk."""
        committing = self._committing
        return self._batch.pending_bytes + (0 if committing is None else committing.pending_bytes)

    @property
    def pending_count(self) -> int:
        committing = self._committing
        return self._batch.count + (0 if committing is None else committing.count)

    def flush_soon(self, now_ms: int) -> None:
        """Called at the end of every turn of the loop: commit what is gathered, unless a commit is under way.

        `waiting` says whether it is left for later: then this is to be called again within patience.WAIT_MS.
        """
        self._now_ms = now_ms
        self.waiting = False
        if self._committing is None and not self._batch.empty and not self._failed:
            self.waiting = not self._asked_for() and self._patience.waits(self._batch, now_ms)
            if not self.waiting:
                self._hand_over()

    def _asked_for(self) -> bool:
        """Whether more than messages is gathered: something that is waited for, and that no acknowledgement spares."""
        return bool(self._others or self._loads or self._reports)

    def _something(self) -> bool:
        return not self._batch.empty or bool(self._batch.delivered)

    def _hand_over(self) -> None:
        batch = self._batch
        self._committing = batch
        segments = batch.prepare()
        touched = batch.messages.keys() | batch.delivered.keys()
        accounts = [
            (batch.messages.get(number, 0), batch.bytes.get(number, 0), batch.delivered.get(number, -1), number)
            for number in touched
        ]
        for number, messages in batch.messages.items():
            self._stored[number] = self._stored.get(number, 0) + messages
        work = Work(segments, self._others, accounts, self._loads)
        self._batch, self._others, self._loads = Batch(), [], []
        reports, self._reports = self._reports, []
        self._done = lambda: self._committed(batch, work, reports)
        self._inbox.put(work)

    def _committed(self, batch: Batch, work: Work, reports: list[Callable[[], None]]) -> None:
        self._committing = None
        self.commits += 1
        batch.durable()
        for report in reports:
            report()
        for load in work.loads:
            load.callback(load.rows)
        if self._gone and self._committing is None:
            self._inbox.put(Work([], [], [], []))
        self.flush_soon(self._now_ms)

    def _stop(self, error: BaseException) -> None:
        self._failed = True
        self._fatal(error)

    # ---- the store's thread

    def _run(self) -> None:
        database = self._database
        if database is None:
            raise StoreError("a store in memory has no thread")
        try:
            while True:
                work = self._next()
                if work is None:
                    return
                if work.segments:
                    done = self._done
                    database.commit(work)
                    self._notify(done)
        except BaseException as error:
            failure = error
            self._notify(lambda: self._stop(failure))

    def _next(self) -> Work | None:
        """The next work; while there is none, rows of deleted queues go, slice by slice."""
        database = self._database
        while self._gone and self._inbox.empty() and database is not None:
            first, last = self._gone[0]
            if database.delete_slice(first, last):
                self._gone.popleft()
                report = self._gone_reports.pop(first, None)
                if report is not None:
                    self._notify(report)
        return self._inbox.get()


__all__ = ["IDLE", "Record", "Recovered", "Row", "Store"]
