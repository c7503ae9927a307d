"""A supervisor's child: one worker in a process of its own, forked, or `python -m leveret.worker.child APP OPTIONS PIPE PLACE`.

There its standard input is its lifeline (inprocess), OPTIONS is JSON, and PIPE the number of the file in which it tells how it fares;
the broker's URL, which may hold a password, comes by the environment. Tasks find /dev/null as standard input. Started by spawning
only.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import sys

import msgspec
import setproctitle

from leveret.errors import LeveretError, TaskError
from leveret.worker import logs
from leveret.worker.inprocess import serve
from leveret.worker.loading import load
from leveret.worker.options import CANNOT_START, DISMISSED, REFUSED, REPLACED, URL_VARIABLE, Options
from leveret.worker.spawning import Tie
from leveret.worker.worker import Worker

log = logging.getLogger("leveret.worker")


def main(arguments: list[str]) -> int:
    app, text, number, place = arguments
    tie = Tie(os.dup(0), int(number), int(place))  # what is duplicated is not inherited
    os.set_inheritable(tie.pipe, False)
    return live(app, msgspec.json.decode(text, type=Options), os.environ.pop(URL_VARIABLE, None), tie)


def live(app: str, options: Options, url: str | None, tie: Tie) -> int:
    """The exit code. The program is loaded here."""
    gc.freeze()  # what is loaded by now stays
    gc.enable()
    setproctitle.setproctitle(f"leveret: worker {app}")
    _take_input_away()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a task prints is seen at once, also in a pipe
    try:
        work = load(app)
        logs.set_up(options)  # after the program, whose own logging goes first
        work.url = url or work.url
        worker = Worker(work, work.broker_url(), options, app)
        worker.place = tie.place
    except TaskError as error:
        log.error("%s", error, exc_info=error.__cause__)
        return CANNOT_START
    try:
        serve(worker, tie)
    except LeveretError as error:
        log.error("%s", error)
        return REFUSED
    if worker.dismissed:
        return DISMISSED
    return REPLACED if worker.worn else 0


def _take_input_away() -> None:
    """Standard input becomes /dev/null: neither a task nor its subprocesses hold the lifeline, or read what is somebody else's."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
