"""The life of a task's own process, from its fork to its end: takes the order, runs the task, says how it ended.

One thread, the main one. Everything the worker has open stays out of here: the process has the program, and one socket to the
worker. Called by zygote, in the child.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import setproctitle

from leveret.client.looping import new_loop
from leveret.tasks import Message, Outcome, Parked, Progress, TaskContext, WorkQueue
from leveret.worker.executor import Job, ended_oddly, find, perform, perform_async
from leveret.worker.frames import End, Order, Said, Step, frame, receive_order
from leveret.worker.interrupt import Alarm

log = logging.getLogger("leveret.worker")

MIB: Final = 1024 * 1024
SACRIFICE: Final = "500"
"""Of 1000: where memory runs out, the system ends the task's process before the worker's."""

GRACEFUL: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP)
"""What a service manager or terminal sends to every process means the worker, who gives its tasks their time."""


class Mouth:
    """Says one thing after the other, whichever of the task's threads does."""

    def __init__(self, talk: socket.socket) -> None:
        self._talk = talk
        self._lock = threading.Lock()

    def say(self, said: Said) -> None:
        data = frame(said)
        with self._lock:
            self._talk.sendall(data)


def live(work: WorkQueue, talk: socket.socket) -> None:
    """Raises EOFError or OSError if the worker is gone."""
    _settle_in()
    order = receive_order(talk)
    message = order.message()
    setproctitle.setproctitle(f"leveret: task {message.task or '-'} {message.id or '-'}")
    work.providers.enter()
    mouth = Mouth(talk)
    mouth.say(End.of(_outcome(work, order, message, mouth)))
    talk.close()
    work.providers.leave_process()  # whoever waits for the task does not wait for that
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    work.close()


def _settle_in() -> None:
    for number in GRACEFUL:
        signal.signal(number, _pay_no_heed)  # a handler, for what is ignored is ignored by subprocesses too
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if not faulthandler.is_enabled():
        faulthandler.enable()  # says where a program was that a segmentation fault ends
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(SACRIFICE)


def _pay_no_heed(*_: object) -> None:
    """See GRACEFUL."""


def _outcome(work: WorkQueue, order: Order, message: Message, mouth: Mouth) -> Outcome:
    handler = find(work, message)
    if isinstance(handler, Parked):  # the program has changed since the worker started
        return handler

    def report(_: Message, progress: Progress) -> None:
        mouth.say(Step.of(progress))

    context = TaskContext(message, order.limit_s, report)
    job = Job(context, handler, work.middleware, interrupt=Alarm(order.limit_s))
    try:
        with _memory(order.memory_mb):
            if not handler.is_async:
                return perform(job)
            return new_loop().run_until_complete(perform_async(job))  # not closed: it would wait for threads
    except BaseException as error:  # it cancelled itself, or there was no memory to tell of its failure
        return ended_oddly(job, error)


@contextlib.contextmanager
def _memory(limit_mb: int) -> Iterator[None]:
    """So much address space beyond what is taken now."""
    if not limit_mb or sys.platform != "linux":
        yield
        return
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = taken + limit_mb * MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(soft, limit), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def flee_with_parent(parent: int) -> None:
    """Die with the zygote, however it dies. Where there is no such thing (macOS) the worker ends what it left."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            os._exit(1)
