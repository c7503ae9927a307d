"""Keeps a number of worker processes running, and replaces those that die.

Children are new Python processes, never forks: what a program opened is not shared by accident. Stopping, in order:
  1. each child is told `stop` down its lifeline, and stops as worker describes
  2. a second signal tells them `quit`, a third kills them
  3. a child that still runs after its grace is killed; the broker has back what it held
The lifelines end with this process, so that its children stop even if it is killed. Used by main and run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Final

import msgspec
import setproctitle

from leveret.client import Backoff
from leveret.client.looping import new_loop
from leveret.worker.inprocess import QUIT, SIGNALS, STOP
from leveret.worker.options import CANNOT_START, REFUSED, REPLACED, URL_VARIABLE, Options

log = logging.getLogger("leveret.worker")

STABLE_S: Final = 10.0
"""A child that lived so long did not die of its start: the next is started without much delay."""

LATE_S: Final = 15.0
"""Beyond the tasks' own grace, for closing the connection."""

Child = asyncio.subprocess.Process


class Supervisor:
    """`url` goes before the program's own."""

    def __init__(self, app: str, processes: int, options: Options, url: str | None) -> None:
        self.app = app
        self.processes = processes
        self.options = options
        self._backoff = Backoff()
        self._environment = os.environ | ({URL_VARIABLE: url} if url else {})
        self._children: set[Child] = set()
        self._signals = 0
        self._code = 0

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or until the program proves unfit; the exit code."""
        setproctitle.setproctitle(f"leveret: supervisor of {self.processes} for {self.app}")
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(self._run())

    async def _run(self) -> int:
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signal)
        await asyncio.gather(*(self._keep() for _ in range(self.processes)))
        return self._code

    # ---- one place among `processes`, and the children that fill it one after another

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        deaths = 0
        while not self._stopping.is_set():
            started = loop.time()
            try:
                child = await self._start()
            except OSError as error:  # no process or no memory to be had just now
                deaths += 1
                log.error("no worker could be started: %s", error)
                await self._pause(self._backoff.delay_s(deaths))
                continue
            code = await self._end_of(child)
            if code == CANNOT_START:
                self._give_up(2)
            elif code == REFUSED:
                self._give_up(1)
            if self._stopping.is_set():
                return
            if code == REPLACED:
                log.warning("worker pid=%d is replaced", child.pid)
                continue
            deaths = 0 if loop.time() - started > STABLE_S else deaths + 1
            delay_s = self._backoff.delay_s(deaths)
            log.warning("worker pid=%d died (%s), another starts in %.1f s", child.pid, _how(code), delay_s)
            await self._pause(delay_s)

    async def _start(self) -> Child:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a file of the program's may be named as a module of the standard library
            "-m",
            "leveret.worker.child",
            self.app,
            msgspec.json.encode(self.options).decode(),
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor alone
        )
        self._children.add(child)
        log.info("worker pid=%d started", child.pid)
        if self._stopping.is_set():  # while it was being started
            _tell(child, STOP)
        return child

    async def _end_of(self, child: Child) -> int:
        """Its exit code. Once all are to stop it has its grace, and no more."""
        ended = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await asyncio.wait((ended,), timeout=self.options.shutdown_timeout_s + LATE_S)
        if not ended.done():
            log.error("worker pid=%d does not stop and is killed", child.pid)
            child.kill()
        code = await ended
        self._children.discard(child)
        return code

    async def _pause(self, delay_s: float) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((stopping,), timeout=delay_s)
        stopping.cancel()

    # ---- stopping

    def _signal(self) -> None:
        self._signals += 1
        if self._signals > 2:
            for child in self._children:
                child.kill()
        self._stop(STOP if self._signals == 1 else QUIT)

    def _stop(self, word: bytes) -> None:
        self._stopping.set()
        for child in self._children:
            _tell(child, word)

    def _give_up(self, code: int) -> None:
        """A child said that it cannot work so: others would fare no better."""
        self._code = code
        self._stop(STOP)


def _tell(child: Child, word: bytes) -> None:
    if child.stdin is not None and not child.stdin.is_closing():
        child.stdin.write(word)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
