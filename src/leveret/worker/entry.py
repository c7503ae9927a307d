"""The two ways to start a worker: by a program's name (`main`), or by the program itself (`run`).

Both parse nothing and return an exit code: 0 after a stop in good order, 1 if the broker refuses, 2 for wrong use; `run` in its
own process also 76, if another is to take its place (see options.REPLACED).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from leveret.errors import LeveretError, TaskError
from leveret.tasks import WorkQueue
from leveret.worker import report
from leveret.worker.inprocess import serve
from leveret.worker.loading import loading, names_in
from leveret.worker.options import REPLACED, Options
from leveret.worker.supervisor import Supervisor
from leveret.worker.worker import Worker

log = logging.getLogger("leveret.worker")


def main(
    app: str,
    *,
    processes: int = 1,
    threads: int = 8,
    queues: Sequence[str] = (),
    url: str | None = None,
    shutdown_timeout_s: float = 30.0,
    max_tasks: int = 0,
    max_memory_mb: int = 0,
) -> int:
    """Run `processes` workers for `app` (loading tells its forms), each in a process of its own, until SIGTERM.

    `queues` narrows what is read, `url` goes before the program's own broker. After `max_tasks`, or beyond
    `max_memory_mb` of resident memory, a process finishes what it runs and is replaced. A second signal ends it at once.
    TaskError for values that cannot be meant.
    """
    report.set_up()
    options = Options(threads, tuple(queues), shutdown_timeout_s, max_tasks, max_memory_mb)
    options.check()
    if processes < 1:
        raise TaskError(f"processes={processes}: a worker has at least one process")
    return Supervisor(app, processes, options, url).run()


def run(
    work: WorkQueue,
    *,
    processes: int = 1,
    threads: int = 8,
    queues: Sequence[str] = (),
    shutdown_timeout_s: float = 30.0,
    max_tasks: int = 0,
    max_memory_mb: int = 0,
) -> int:
    """Be a worker until SIGTERM or SIGINT; see `main`. A single one runs in this very process.

    Called by WorkQueue.run, under `if __name__ == "__main__"`. TaskError for wrong use.
    """
    if loading():
        raise TaskError('a program that runs its own worker has to say so under `if __name__ == "__main__":`')
    if processes != 1:
        app = _main_program(work)
        return main(
            app,
            processes=processes,
            threads=threads,
            queues=queues,
            url=work.url,
            shutdown_timeout_s=shutdown_timeout_s,
            max_tasks=max_tasks,
            max_memory_mb=max_memory_mb,
        )
    report.set_up()
    options = Options(threads, tuple(queues), shutdown_timeout_s, max_tasks, max_memory_mb)
    worker = Worker(work, work.broker_url(), options)
    try:
        serve(worker)
    except LeveretError as error:
        log.error("%s", error)
        return 1
    return REPLACED if worker.worn else 0


def _main_program(work: WorkQueue) -> str:
    """How children find the program that is running: by its file."""
    module = sys.modules["__main__"]
    name = names_in(vars(module)).get(id(work))
    file = getattr(module, "__file__", None)
    if name is None or file is None:
        raise TaskError("more than one process needs the WorkQueue at the top level of the program's file")
    return f"{Path(file).resolve()}:{name}"
