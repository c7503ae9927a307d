"""What may be said of a task, and of one call of it: each option once, with what it means. Used by workqueue and task.

@work.task(retry=Retries(attempts=3), time_limit=60)
def resize(path: Path) -> None: ...

resize.options(delay=60, priority=5).send(Path("hare.png"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypedDict

from leveret.tasks.limits import Concurrency, Key, Rate, Unique
from leveret.tasks.retries import Retries


class Common(TypedDict, total=False):
    """For a task, and for a call, where it goes before what the task says."""

    queue: str | None
    """Where it waits; by default the WorkQueue's `default_queue`."""
    priority: int | None
    """What has a higher one goes first, on queues that know priorities: see WorkQueue.queue."""
    result: bool | None
    """Its value is sent back, for Sent.result. By default what the WorkQueue says of `results`."""
    cancellable: bool | None
    """It can be cancelled while it waits (costs a question to the broker before each run); what is delayed, and what runs, can
    be in any case."""
    expires: float | timedelta | datetime | None
    """It is not begun more than so many seconds after it is due, or after that time (with a time zone): then it counts as cancelled;
    or, if it had begun and failed before, it is parked as `expired`. The clocks of senders and workers have to agree."""


class TaskOptions(Common, total=False):
    """What WorkQueue.task takes."""

    name: str | None
    """In messages; by default the function's own. The module is no part of it: a program sends the same task whether it runs as a
    script or is imported, and moving a function strands no message."""
    aliases: Sequence[str]
    """Other names under which messages may come, as those that were sent before the task had its present name."""
    version: int | None
    """Of its parameters, from 1. What was sent for an older one is read by what `@task.accepts(version=1)` stands above, and parked if
    there is none."""
    retry: Retries | None
    """How often it is tried, with what pauses; by default what the WorkQueue says."""
    time_limit: float | timedelta | None
    """After so many seconds TimeLimitExceeded is raised in it, which is a failure like any other; a plain function that is
    waiting in C code (`time.sleep`, a database) meets it when that returns."""
    concurrency: Concurrency | None
    """At most so many run at once, by key, among all workers. See tasks/limits for this and the next three."""
    rate: Rate | None
    """At most so many begin in a time, by key, among all workers."""
    unique: Unique | None
    """Of those with the same key one is sent, for a time or until it is done; Sent.duplicate tells."""
    fair: Key
    """Whose turn it is: those of one key do not wait behind all those of another."""
    hard_time_limit: float | timedelta | None
    """After so many (by default 10 s after `time_limit`) its process is replaced, and the task charged with a failed attempt."""
    keep_result: float | timedelta | None
    """Its result, or why there is none, is kept so long in the WorkQueue's `results_store`, for whoever asks, also after a restart:
    Sent.result, WorkQueue.sent and WorkQueue.result_of."""
    process: bool
    """Each run in a process of its own, which may crash, and is killed by its hard time limit or when it is cancelled, without harm
    to anything else. Linux and macOS."""
    memory_mb: int
    """Of a task in a process of its own, on Linux: so much address space it may take, beyond what the program has; then MemoryError
    is raised in it. 0: no limit but the system's."""


class CallOptions(Common, total=False):
    """What Task.options takes."""

    delay: float | timedelta
    """It runs so many seconds from now; not before, and later by a tenth of a second or so, and by what is before it in its
    queue."""
    eta: datetime | None
    """Instead of `delay`: when it runs, with a time zone (in the past: now)."""


class WorkerOptions(TypedDict, total=False):
    """What WorkQueue.run and worker.main take; the defaults stand in worker/options."""

    processes: int
    """Worker processes. A single one of WorkQueue.run is the calling process itself, unless `reload` is set."""
    threads: int
    """How many tasks run at a time in each process. Async tasks need no thread, but a place."""
    queues: Sequence[str]
    """Only these; none: all of the program's."""
    shutdown_timeout_s: float
    """How long running tasks may go on once the worker is told to stop. Then they are given back."""
    max_tasks: int
    """After so many a process finishes what it runs and is replaced; 0: never."""
    max_memory_mb: int
    """Beyond so much resident memory, looked at after each task, likewise; 0: never."""
    process_per_task: bool
    """Every task runs as if it said `process=True`."""
    isolate: bool
    """What may have killed its worker is run in a process of its own from then on; by default where forks are safe, on Linux."""
    reload: bool
    """Start anew whenever a Python file of the program changes. For development."""
    health_port: int
    """Serve /health, /ready and /metrics over HTTP there; 0: not."""
    health_host: str
    """The address for that."""
    log_format: Literal["", "text", "json"]
    """By default what LEVERET_LOG_FORMAT says, else text."""
    log_level: str
    """As logging has them: debug, info, warning, error."""
    verbose: bool
    """Name every task and schedule at the start, however many there are."""


def refuse_unknown(options: Mapping[str, object], known: type, what: str) -> None:
    """TypeError, as of any function, for an option that there is not."""
    unknown = sorted(set(options) - set(known.__annotations__))
    if unknown:
        raise TypeError(f"{what} has no option {unknown[0]!r}; it has {', '.join(sorted(known.__annotations__))}")
