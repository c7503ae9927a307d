"""What a worker process is told: how much at a time, from which queues, and how long to finish. Used by all of worker/."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from leveret.errors import TaskError

URL_VARIABLE: Final = "LEVERET_WORKER_URL"
"""Environment of a child: a broker's URL that goes before the program's own."""

CANNOT_START: Final = 78
"""A child's exit code (EX_CONFIG) when starting it again would change nothing."""

REFUSED: Final = 77
"""A child's exit code (EX_NOPERM) when the broker does not want us: a wrong password, an unknown virtual host."""


REPLACED: Final = 76
"""A child's exit code when another is to take its place: a task overran its hard time limit, or its worker is worn."""


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = 8
    """How many tasks run at a time in one process; as many deliveries it takes. Async tasks need no thread, but a
    place."""
    queues: tuple[str, ...] = ()
    """Only these; empty: all of the program's."""
    shutdown_timeout_s: float = 30.0
    """How long running tasks may go on once the worker is told to stop."""

    max_tasks: int = 0
    """After so many the process is replaced; 0: never."""
    max_memory_mb: int = 0
    """Beyond so much resident memory, looked at after each task, the process is replaced; 0: never."""

    def check(self) -> None:
        """TaskError for values that cannot be meant."""
        if not 1 <= self.threads <= 65_535:
            raise TaskError(f"threads={self.threads}: a worker process runs 1 to 65535 tasks at a time")
        if self.max_tasks < 0 or self.max_memory_mb < 0:
            raise TaskError(f"max_tasks={self.max_tasks}, max_memory_mb={self.max_memory_mb}: expected 0 or more")
        if not (self.shutdown_timeout_s >= 0 and math.isfinite(self.shutdown_timeout_s)):
            raise TaskError(f"shutdown_timeout_s={self.shutdown_timeout_s}: expected seconds, 0 or more")
