"""The data directory, made so that a power loss does not take it away with all that is in it.

SQLite syncs the entries of its files in the directory; that the directory itself has an entry in the one above is ours to
sync. Used by store/store and store/archive.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

IMPOSSIBLE: Final = frozenset({errno.EACCES, errno.EINVAL, errno.ENOTSUP})
"""The directory is not ours to read, or its file system does not sync directories: then nothing can be done."""


def make_directory(directory: Path) -> None:
    """Make it with all above it, and sync those entries; the last one at every start, as an earlier start may have failed
    to.
    """
    parents = [directory.absolute().parent]
    while not parents[-1].exists():
        parents.append(parents[-1].parent)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # of nobody else's business: messages are in it
    for parent in parents:
        _sync_if_possible(parent)


def sync(path: Path) -> None:
    """What was written to the file, or into the directory, is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_if_possible(directory: Path) -> None:
    try:
        sync(directory)
    except OSError as error:
        if error.errno not in IMPOSSIBLE:
            raise
