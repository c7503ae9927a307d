"""One broker per data directory: a lock on a file in it, which names the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from leveret.errors import StoreInUse


class DirectoryLock:
    """Held from construction to `release`, or to the end of the process however that comes."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreInUse(
                f"{directory} is in use by the broker with process id {holder}; stop it or choose another --data"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._file)
