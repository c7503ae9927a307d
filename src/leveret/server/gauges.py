"""How much memory this process uses and may use, and how much room is on the disk. Read by server/watch.

Where the system does not tell (no /proc), a figure is 0: not known, and no alarm comes of it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_used() -> int:
    """Octets of memory that this process has in use, those shared with others included."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_total() -> int:
    """Octets of memory of the machine, or of the control group we are in, if that is less."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
    return min([total, *(limit for limit in map(_limit, CGROUP_LIMITS) if limit)])


def _limit(path: Path) -> int:
    """0: there is none (the file is missing, or says `max`)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def disk_free(directory: Path | None) -> int:
    """Octets free where the store is; 0 if it is in memory, or the system does not tell."""
    if directory is None:
        return 0
    try:
        status = os.statvfs(directory)
    except OSError:
        return 0
    return max(1, status.f_bavail * status.f_frsize)


def give_back() -> None:
    """Let the C library return freed memory to the system: what was freed still counts as used until then."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@dataclass(frozen=True, slots=True)
class Gauges:
    """The measuring functions; tests put in their own."""

    memory_used: Callable[[], int] = memory_used
    memory_total: Callable[[], int] = memory_total
    disk_free: Callable[[Path | None], int] = disk_free
    give_back: Callable[[], None] = give_back
