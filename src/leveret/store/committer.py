"""The store's thread: commits what it is handed, and deletes rows of what was purged or deleted while there is nothing to commit.

On a full disk a commit is tried until there is room; meanwhile what is on disk is read for whoever asks. Any other
failure of the disk ends the thread. Made by store/store, which is all that talks to it; what it has to say goes
through `notify`, which makes the loop call.

To hand something to a thread and to hear of it takes about as long as a quick disk takes to sync. While the disk is one, what
little somebody waits for can be committed by the loop itself, `commit_here`; one slow commit ends that until many were quick again.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Final

from leveret.errors import StoreError
from leveret.store.database import Database, Load, Range, Work
from leveret.store.faults import last_words, passes, waiting_for

RETRY_S: Final = 1.0
"""How long a commit that found no room waits before it is tried again."""

QUICK_S: Final = 0.002
QUICK_IN_A_ROW: Final = 32
"""After so many commits that took no longer than that the disk is quick."""


class Committer:
    """`on_stuck` is told what a commit waits for, and with an empty text when it has gone through after all; `on_failure`
    why nothing is committed any more.
    """

    def __init__(
        self,
        database: Database,
        notify: Callable[[Callable[[], None]], None],
        on_stuck: Callable[[str], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.database: Final = database
        self.notify = notify
        self._on_stuck: Final = on_stuck
        self._on_failure: Final = on_failure
        self._inbox: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._gone: Final[deque[tuple[Range, Callable[[], None]]]] = deque()
        self._hurry: Final = threading.Event()
        self._using: Final = threading.Lock()
        """Held by who uses the database, for a transaction at a time."""
        self._quick = 0
        self.commit_s = 0.0
        """How long commits have taken in all, waiting for room included."""
        self.thread: Final = threading.Thread(target=self._run, name="leveret-store", daemon=True)

    # ---- called on the loop's thread

    def put(self, work: Work) -> None:
        self._inbox.put(work)

    def commit_here(self, work: Work) -> bool:
        """At once, on the loop's own thread. False: nothing happened, and the work has to be `put`, because the disk is not quick
        enough to be waited for or has no room, or the database is in use. StoreError: as when the thread ends.
        """
        if self._quick < QUICK_IN_A_ROW or not self._using.acquire(blocking=False):
            return False
        try:
            began = monotonic()
            self.database.commit(work, lock_ms=0)
            self._took(monotonic() - began)
            return True
        except sqlite3.Error as error:
            self.database.roll_back()
            if not passes(error):
                raise StoreError(last_words(self.database.path, error)) from error
            return False
        finally:
            self._using.release()

    def read(self, loads: list[Load], done: Callable[[], None]) -> None:
        """Now, though a commit is stuck; `done` when what is on disk has been looked through."""
        self._inbox.put(Work([], [], [], loads, done))

    def delete(self, gone: Range, on_gone: Callable[[], None]) -> None:
        """Row by row when there is time; `on_gone` when none is left."""
        self._gone.append((gone, on_gone))
        self._inbox.put(None)

    def hurry(self) -> None:
        """The broker ends: what is stuck is tried once more and then given up."""
        self._hurry.set()
        self._inbox.put(None)

    def end(self) -> None:
        """After what was put; waits until it has ended. What is gone and still there is deleted after the next start."""
        self._inbox.put(END)
        self.thread.join()

    # ---- the thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:
            failure = StoreError(last_words(self.database.path, error))
            self.notify(lambda: self._on_failure(failure))

    def _step(self) -> bool:
        """One piece of work, which nobody here keeps afterwards; False at the end."""
        work = self._next()
        if work is not None and work.segments:
            self._commit(work)
            self.notify(work.done)
        else:  # asked for while a commit was stuck, which has gone through before this was seen
            self._answer(work)
        return work is not END

    def _answer(self, work: Work | None) -> None:
        if work is not None and work.loads:
            with self._using:
                for load in work.loads:
                    self.database.load(load)
            self.notify(work.done)

    def _next(self) -> Work | None:
        while self._gone and self._inbox.empty():
            (first, last), on_gone = self._gone[0]
            try:
                with self._transaction():
                    done = self.database.delete_slice(first, last)
            except sqlite3.Error as error:
                if not passes(error):
                    raise
                break
            if done:
                self._gone.popleft()
                self.notify(on_gone)
        return self._inbox.get()

    def _commit(self, work: Work) -> None:
        """As soon as the disk has room for it; whatever else is wrong with the disk is raised."""
        waits_for = ""
        began = monotonic()
        while True:
            try:
                with self._transaction():
                    self.database.commit(work)
                break
            except sqlite3.Error as error:
                if not passes(error) or self._hurry.is_set():
                    raise
                self.database.make_room()
                if not waits_for:
                    waits_for = waiting_for(error)
                    self.notify(partial(self._on_stuck, waits_for))
            self._wait_for_room()
        self._took(monotonic() - began)
        if waits_for:
            self.notify(lambda: self._on_stuck(""))

    def _took(self, commit_s: float) -> None:
        self.commit_s += commit_s
        self._quick = self._quick + 1 if commit_s <= QUICK_S else 0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One that is undone if it fails."""
        with self._using:
            try:
                yield
            except sqlite3.Error:
                self.database.roll_back()
                raise

    def _wait_for_room(self) -> None:
        """Until it is worth another try."""
        until = monotonic() + RETRY_S
        while not self._hurry.is_set() and (left_s := until - monotonic()) > 0:
            try:
                self._answer(self._inbox.get(timeout=left_s))
            except queue.Empty:
                return


END: Final = Work([], [], [], [])
