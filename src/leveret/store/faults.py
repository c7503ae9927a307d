"""What a failure of the disk means: wait until it is over, or stop and say so. Used by store/store and store/schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from leveret.errors import StoreError

FULL: Final = frozenset({sqlite3.SQLITE_FULL})
BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
FAILING: Final = frozenset({sqlite3.SQLITE_IOERR})
LOCKED_UP: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 if it is not one of its errors."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def passes(error: BaseException) -> bool:
    """A full disk, or somebody else who has the file locked: the same transaction may succeed later."""
    return _code(error) in FULL | BUSY or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE


def waiting_for(error: BaseException) -> str:
    """What is waited for, of an error that passes."""
    return "another program to unlock the file" if _code(error) in BUSY else "room on the disk"


def last_words(path: Path, error: BaseException) -> str:
    """Why the broker cannot go on, and what its operator can do."""
    if passes(error):
        return (
            f"{path}: still waiting for {waiting_for(error)}; what was not confirmed is lost, everything else is there "
            "at the next start"
        )
    return (
        f"{path}: {error}; nothing was confirmed that is not on disk, and everything that was is there at the next start "
        f"if the disk still has it: {_advice(error)}"
    )


def unusable(path: Path, reason: sqlite3.Error | str) -> StoreError:
    """What to raise if the database cannot be opened or read."""
    if isinstance(reason, sqlite3.Error):
        if passes(reason):
            return StoreError(
                f"{path} cannot be used: {reason}; it needs {waiting_for(reason)}, or another --data directory"
            )
        if _code(reason) in FAILING | LOCKED_UP:
            return StoreError(f"{path} cannot be used: {reason}; {_advice(reason)}, or choose another --data directory")
    return StoreError(
        f"{path} cannot be read as a message store ({reason}); restore it from a backup, or rescue what is left with "
        "`sqlite3 leveret.db .recover`, or start with another --data directory (nothing was changed)"
    )


def _advice(error: BaseException) -> str:
    if _code(error) in LOCKED_UP:
        return "see who may write there, and whether the file system was mounted read-only"
    if _code(error) in FAILING:
        return "see what the system's log says of that disk"
    return "`leveret store check` tells more"
