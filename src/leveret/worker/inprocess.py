"""Runs a Worker in this process: its event loop, its signals, its supervisor's commands. Used by run and child.

A supervised worker has a lifeline, a pipe from its supervisor: `stop` and `quit` arrive there, and its end is the
supervisor's death, however sudden. Signals then mean `stop` only, as often as they come: a service manager sends them
to every process, and the supervisor passes its own on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from typing import Final

from leveret.client.looping import new_loop
from leveret.worker.worker import Worker

log = logging.getLogger("leveret.worker")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
STOP: Final = b"stop\n"
QUIT: Final = b"quit\n"


def serve(worker: Worker, lifeline: int | None = None) -> None:
    """Run `worker` until it has stopped. See Worker.run for what is raised."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(worker, lifeline))


async def _serve(worker: Worker, lifeline: int | None) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(worker.run())
    if lifeline is not None:
        loop.add_reader(lifeline, _command, loop, lifeline, worker)
    on_main_thread = threading.current_thread() is threading.main_thread()
    signals = SIGNALS if on_main_thread else ()
    for number in signals:
        loop.add_signal_handler(number, _signal, worker, lifeline is not None)
    try:
        await running
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        if lifeline is not None:
            loop.remove_reader(lifeline)


def _signal(worker: Worker, supervised: bool) -> None:
    if worker.stopping and not supervised:
        worker.quit()
    else:
        worker.stop()


def _command(loop: asyncio.AbstractEventLoop, lifeline: int, worker: Worker) -> None:
    data = b""
    with contextlib.suppress(OSError):
        data = os.read(lifeline, 4096)
    if QUIT in data:
        worker.quit()
        return
    worker.stop()
    if not data:
        log.warning("the supervisor is gone")
        loop.remove_reader(lifeline)
