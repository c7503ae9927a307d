"""The file of a history: opened, put aside if it is broken, done without if it cannot be used. Used by history/keeper's thread.

What is lost with it is only a memory: so it is not synced to disk with every commit, a crash of the machine may cost it, and the log
says so when it happens. A killed process costs what was not committed, nothing more.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from leveret.history.rows import Limits
from leveret.history.schema import PRAGMAS, SCHEMA, VERSION

log = logging.getLogger("leveret.history")

ASIDE: Final = ".broken"
SIDES: Final = ("", "-wal", "-shm")
PRIVATE: Final = 0o600
BUSY_S: Final = 1.0
PATIENCE_S: Final = 5.0
"""So long somebody else may have the file locked, as a backup does, or who opens it at the same moment after a crash (SQLite tells
some of these at once, whatever BUSY_S)."""

PAUSE_S: Final = 0.05
PASSING: Final = ("locked", "busy")
UNUSABLE: Final = (*PASSING, "unable to open", "readonly", "read-only", "full", "disk i/o")
"""In SQLite's words: the file may be sound, and is not to be put aside."""

BROKEN: Final = ("malformed", "not a database", "no such table", "no such column")
"""It is not as it was opened. Anything else is an error of the statement."""

Result = TypeVar("Result")
Begin = Callable[[sqlite3.Connection], None]


class HistoryFile:
    """`path` None: in memory."""

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._begin: Begin = lambda connection: None

    def open(self, begin: Begin) -> None:
        """`begin` is given the connection, now and whenever it has to be another one."""
        self._begin = begin
        try:
            self._connect()
        except sqlite3.Error as error:
            self._recover(error)

    def use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """In one transaction. If it is the file's fault that it fails, it is done once more with another one."""
        try:
            return self._within(work)
        except sqlite3.Error as error:
            if not _says(error, BROKEN + UNUSABLE):
                raise
            self._recover(error)
            return self._within(work)

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def _within(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = self._connection
        connection.execute("begin")
        try:
            result = work(connection)
            connection.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("rollback")
            raise
        return result

    def _connect(self) -> None:
        name = ":memory:" if self.path is None else str(self.path)
        if self.path is not None:
            _keep_private(self.path)
        connection = sqlite3.connect(name, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._connection = connection
        for pragma in PRAGMAS:
            connection.execute(pragma)
        if self.path is not None:
            (sound,) = connection.execute("pragma quick_check(1)").fetchone()
            if sound != "ok":
                raise sqlite3.DatabaseError(sound)
        (version,) = connection.execute("pragma user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, and this Leveret writes version {VERSION}")
        connection.executescript(SCHEMA)
        self._begin(connection)

    def _recover(self, error: sqlite3.Error) -> None:
        """Afresh: in the same place if the file is no good, in memory if nothing can be written there."""
        self.close()
        path = self.path
        if path is not None and _says(error, PASSING):
            still = self._connect_patiently()
            if still is None:
                return
            error = still
        if path is not None and not _says(error, UNUSABLE):
            log.warning("the history in %s cannot be read (%s): it is put aside, and begins anew", path, error)
            try:
                _put_aside(path)
                self._connect()
                return
            except (OSError, sqlite3.Error) as second:
                error = second if isinstance(second, sqlite3.Error) else sqlite3.OperationalError(str(second))
                self.close()
        log.warning("the history cannot be kept in %s (%s): until the next start it is in memory", path, error)
        self.path = None
        self._connect()

    def _connect_patiently(self) -> sqlite3.Error | None:
        """What is wrong after all; None: nothing any more."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._connect()
                return None
            except sqlite3.Error as error:
                self.close()
                if not _says(error, PASSING) or time.monotonic() > until:
                    return error
            time.sleep(PAUSE_S)


def _says(error: sqlite3.Error, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _keep_private(path: Path) -> None:
    """Arguments of tasks are in it: nobody else may read it. SQLite makes the files beside it like it."""
    with suppress(OSError):  # SQLite says it if it cannot be used
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
        for side in SIDES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + side).chmod(PRIVATE)


def _put_aside(path: Path) -> None:
    """One broken file is kept, the last."""
    for side in SIDES:
        whole = path.with_name(path.name + side)
        if whole.exists():
            whole.replace(path.with_name(path.name + ASIDE + side))
