"""Runs a Worker in this process: its event loop, its signals, its supervisor's commands. Used by run and child.

A supervised worker has a lifeline, a pipe from its supervisor: `stop`, `quit` and `quiet` arrive there, and its end is the
supervisor's death, however sudden. Signals then mean `stop` only, as often as they come: a service manager sends them
to every process, and the supervisor passes its own on. Through `pipe` it tells the supervisor how it fares. A worker without a
supervisor serves its own health endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator
from functools import partial

from leveret.client.looping import new_loop
from leveret.worker.banner import banner
from leveret.worker.lifeline import QUIET, QUIT, SIGNALS, STOP
from leveret.worker.overview import Overview, Seen
from leveret.worker.spawning import Tie
from leveret.worker.status import Reporter
from leveret.worker.worker import Worker

log = logging.getLogger("leveret.worker")


def serve(worker: Worker, tie: Tie | None = None) -> None:
    """Run `worker` until it has stopped. See Worker.run for what is raised."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(worker, tie))


async def _serve(worker: Worker, tie: Tie | None) -> None:
    if tie is None:
        async with _watched(worker):
            await _live(worker, None)
    else:
        reporter = Reporter(tie.pipe, worker.status, worker.about)
        worker.on_change = reporter.poke
        reporting = asyncio.create_task(reporter.report())
        try:
            await _live(worker, tie.lifeline)
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)


@contextlib.asynccontextmanager
async def _watched(worker: Worker) -> AsyncIterator[None]:
    """By its own banner, and its own health endpoint. TaskError if that cannot be."""
    options, health = worker.options, None
    if options.health_port:
        from leveret.worker.health import Health

        health = Health(options.health_host, options.health_port, partial(_look, worker))
    log.info("%s", banner(worker.app or worker.work.name, options, worker.about(), health.url if health else ""))
    try:
        yield
    finally:
        if health is not None:
            await health.close()


def _look(worker: Worker) -> Overview:
    status = worker.status()
    return Overview([Seen(status.pid, status, 0.0)], status.counts, 0)


async def _live(worker: Worker, lifeline: int | None) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(worker.run())
    if lifeline is not None:
        loop.add_reader(lifeline, _command, loop, lifeline, worker)
    on_main_thread = threading.current_thread() is threading.main_thread()
    signals = SIGNALS if on_main_thread else ()
    for number in signals:
        loop.add_signal_handler(number, _signal, worker, lifeline is not None)
    if on_main_thread:
        loop.add_signal_handler(signal.SIGTSTP, worker.quiet)
    try:
        await running
    finally:
        for number in (*signals, signal.SIGTSTP) if on_main_thread else ():
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
    if QUIET in data:
        worker.quiet()
    if QUIT in data:
        worker.quit()
    if data and STOP not in data:
        return
    worker.stop()
    if not data:
        log.warning("the supervisor is gone")
        loop.remove_reader(lifeline)
