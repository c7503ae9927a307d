"""What a worker is told: how much at a time, from which queues, how long to finish, who may look on. Used by all of worker/.

What each option means stands in tasks/options, WorkerOptions; here are the defaults. A supervisor has read this before it starts
its children, so it loads next to nothing.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Self

from leveret.errors import TaskError

SLOTS_MAX: Final = 65_535
"""AMQP has 16 bits for a prefetch."""

URL_VARIABLE: Final = "LEVERET_WORKER_URL"
"""Environment of a child: a broker's URL that goes before the program's own."""

CANNOT_START: Final = 78
"""A child's exit code (EX_CONFIG) when starting it again would change nothing."""

REFUSED: Final = 77
"""A child's exit code (EX_NOPERM) when the broker does not want us: a wrong password, an unknown virtual host."""


REPLACED: Final = 76
"""A child's exit code when another is to take its place: a task overran its hard time limit, or its worker is worn."""

DISMISSED: Final = 79
"""A child's exit code when an order has stopped it: nobody is to take its place."""

CAN_FORK: Final = hasattr(os, "fork")
FORKS_ARE_SAFE: Final = CAN_FORK and sys.platform != "darwin"
"""On macOS some system libraries do not survive a fork: there it is done for those tasks alone that ask for it."""


FORMATS: Final = ("text", "json")
FORMAT_VARIABLE: Final = "LEVERET_LOG_FORMAT"
LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class Options(NamedTuple):
    threads: int = 8
    queues: Sequence[str] = ()
    shutdown_timeout_s: float = 30.0
    max_tasks: int = 0
    max_memory_mb: int = 0
    processes: int = 1
    process_per_task: bool = False
    isolate: bool = FORKS_ARE_SAFE
    reload: bool = False
    health_port: int = 0
    health_host: str = "127.0.0.1"
    log_format: Literal["", "text", "json"] = ""
    log_level: str = "info"
    verbose: bool = False

    @property
    def form(self) -> str:
        """Of the log's lines: what was asked for, else what the environment says, else text."""
        return self.log_format or os.environ.get(FORMAT_VARIABLE, "").strip().lower() or "text"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """TypeError, as of any function, for an option that there is not; TaskError for values that cannot be meant."""
        unknown = sorted(given.keys() - set(cls._fields))
        if unknown:
            raise TypeError(f"a worker has no option {unknown[0]!r}; it has {', '.join(sorted(cls._fields))}")
        options = cls(**given)
        options.check()
        return options

    def check(self) -> None:
        """TaskError for values that cannot be meant."""
        if self.processes < 1:
            raise TaskError(f"processes={self.processes}: a worker has at least one process")
        if not 1 <= self.threads <= SLOTS_MAX:
            raise TaskError(f"threads={self.threads}: a worker process runs 1 to 65535 tasks at a time")
        if self.max_tasks < 0 or self.max_memory_mb < 0:
            raise TaskError(f"max_tasks={self.max_tasks}, max_memory_mb={self.max_memory_mb}: expected 0 or more")
        if not (self.shutdown_timeout_s >= 0 and math.isfinite(self.shutdown_timeout_s)):
            raise TaskError(f"shutdown_timeout_s={self.shutdown_timeout_s}: expected seconds, 0 or more")
        if not 0 <= self.health_port <= 65_535:
            raise TaskError(f"health_port={self.health_port}: expected a port, or 0 for none")
        if self.log_format not in ("", *FORMATS):
            raise TaskError(f"log_format={self.log_format!r}: expected text or json")
        if self.form not in FORMATS:
            raise TaskError(f"{FORMAT_VARIABLE}={self.form!r}: expected text or json")
        if self.log_level.lower() not in LEVELS:
            raise TaskError(f"log_level={self.log_level!r}: expected debug, info, warning, error or critical")
        if self.process_per_task and not CAN_FORK:
            raise TaskError("process_per_task: this system has no fork, which a process for each task needs")
