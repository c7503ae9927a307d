"""Finds messages on disk by octets that are in them, for whoever looks for one.

On a connection of its own, which can only read, and on the thread that calls: no commit waits for it. A backlog may be larger
than what can be looked through in the time that is given: then it says so. Made by store/store.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

FOUND_MAX: Final = 1_000
STEPS: Final = 5_000
"""Of SQLite's machine, between two looks at the clock: about a millisecond."""

ROWS: Final = f"select id, deliveries, data from message where instr(data, ?) limit {FOUND_MAX}"


class Sought(NamedTuple):
    """`rows`: id, deliveries and data of messages, also of those that are only still to be deleted. Not `complete`: not all
    was looked at."""

    rows: list[tuple[int, int, bytes]]
    complete: bool


class Seeker:
    """One search at a time: others are told that nothing was looked at."""

    def __init__(self, path: Path) -> None:
        self._address: Final = f"{path.absolute().as_uri()}?mode=ro"
        self._busy: Final = threading.Lock()

    def seek(self, octets: bytes, within_s: float) -> Sought:
        if not self._busy.acquire(blocking=False):
            return Sought([], False)
        try:
            return self._look(octets, monotonic() + within_s)
        finally:
            self._busy.release()

    def _look(self, octets: bytes, until: float) -> Sought:
        rows: list[tuple[int, int, bytes]] = []
        try:
            with closing(sqlite3.connect(self._address, uri=True)) as connection:
                connection.set_progress_handler(lambda: monotonic() > until, STEPS)
                rows.extend(connection.execute(ROWS, (octets,)))
        except sqlite3.Error:  # the time is over, or the disk is sick, which the next commit says
            return Sought(rows, False)
        return Sought(rows, len(rows) < FOUND_MAX)
