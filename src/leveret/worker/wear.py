"""When a worker process is worn: it has run so many tasks, or holds so much memory, that another is to take its place.

Used by worker, which then stops as ever: what runs may finish.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

from leveret.worker.options import Options

STATM: Final = Path("/proc/self/statm")
MIB: Final = 1024 * 1024
LOOK_EVERY: Final = 100
"""Tasks between two looks at the memory."""


class Wear:
    def __init__(self, options: Options) -> None:
        self._options = options

    def reason(self, tasks: int) -> str:
        """Why the process is worn, after so many tasks; empty if it is not."""
        options = self._options
        if options.max_tasks and tasks >= options.max_tasks:
            return f"it has run {tasks} tasks"
        if options.max_memory_mb and (tasks < LOOK_EVERY or tasks % LOOK_EVERY == 0):
            held_mb = resident_bytes() // MIB
            if held_mb >= options.max_memory_mb:
                return f"it holds {held_mb} MiB"
        return ""


def resident_bytes() -> int:
    """Now; where the system does not tell, the most that it ever was."""
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
