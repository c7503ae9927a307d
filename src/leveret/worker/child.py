"""A supervisor's child: `python -m leveret.worker.child APP OPTIONS`, one worker in a process of its own.

Its standard input is its lifeline (inprocess); tasks find /dev/null there. OPTIONS is JSON. The broker's URL, which may
hold a password, comes by the environment. Started by supervisor only.
"""

from __future__ import annotations

import io
import logging
import os
import sys

import msgspec
import setproctitle

from leveret.errors import LeveretError, TaskError
from leveret.worker import report
from leveret.worker.inprocess import serve
from leveret.worker.loading import load
from leveret.worker.options import CANNOT_START, REFUSED, REPLACED, URL_VARIABLE, Options
from leveret.worker.worker import Worker

log = logging.getLogger("leveret.worker")


def main(arguments: list[str]) -> int:
    app, text = arguments
    setproctitle.setproctitle(f"leveret: worker {app}")
    lifeline = _take_lifeline()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a task prints is seen at once, also in a pipe
    try:
        options = msgspec.json.decode(text, type=Options)
        work = load(app)
        report.set_up()  # after the program, whose own logging goes first
        work.url = os.environ.pop(URL_VARIABLE, None) or work.url
        worker = Worker(work, work.broker_url(), options)
    except TaskError as error:
        log.error("%s", error, exc_info=error.__cause__)
        return CANNOT_START
    try:
        serve(worker, lifeline)
    except LeveretError as error:
        log.error("%s", error)
        return REFUSED
    return REPLACED if worker.worn else 0


def _take_lifeline() -> int:
    """Standard input becomes /dev/null, so that neither a task nor its subprocesses hold or read the lifeline."""
    lifeline = os.dup(0)  # not inherited
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return lifeline


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
