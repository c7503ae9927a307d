"""`run`: a program that is its own worker.

Returns an exit code, as entry does; in its own process also 76, if another is to take its place (options.REPLACED). Called by
WorkQueue.run, under `if __name__ == "__main__"`.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Unpack

from leveret.errors import LeveretError, TaskError
from leveret.tasks import WorkQueue
from leveret.tasks.options import WorkerOptions
from leveret.worker import logs
from leveret.worker.entry import main
from leveret.worker.inprocess import serve
from leveret.worker.loading import loading, names_in
from leveret.worker.options import REPLACED, Options
from leveret.worker.worker import Worker

log = logging.getLogger("leveret.worker")


def run(work: WorkQueue, **given: Unpack[WorkerOptions]) -> int:
    """Be a worker until SIGTERM or SIGINT; see `main`. A single one runs in this very process, unless it is to be reloaded.

    TaskError for wrong use.
    """
    if loading():
        raise TaskError('a program that runs its own worker has to say so under `if __name__ == "__main__":`')
    options, app = Options.of(given), _main_program(work)
    if options.processes > 1 or options.reload:
        if not app:
            raise TaskError("more than one process needs the WorkQueue at the top level of the program's file")
        return main(app, url=work.url, **given)
    logs.set_up(options)
    worker = Worker(work, work.broker_url(), options, app)
    try:
        serve(worker)
    except LeveretError as error:
        log.error("%s", error)
        return 1
    return REPLACED if worker.worn else 0


def _main_program(work: WorkQueue) -> str:
    """How other processes find the program that is running: by its file. Empty if they cannot."""
    module = sys.modules["__main__"]
    name = names_in(vars(module)).get(id(work))
    file = getattr(module, "__file__", None)
    return "" if name is None or file is None else f"{Path(file).resolve()}:{name}"
