"""A worker's life in a test: a real Worker on a thread of its own, stopped in good order or killed.

To be killed is to lose both connections at once, as by kill -9: nothing that was not sent is sent any more, and the
broker gives to the next worker what this one had. Used by harness.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from typing import Final

from leveret.client import Connection
from leveret.client.looping import new_loop
from leveret.errors import TaskError
from leveret.tasks import Message, Outcome, WorkQueue
from leveret.worker.options import Options
from leveret.worker.pool import TaskLoop, Threads
from leveret.worker.runner import Runner
from leveret.worker.services import Services
from leveret.worker.worker import Worker

END_S: Final = 15.0
SHUTDOWN_S: Final = 10.0


@cache
def _threads(number: int) -> Threads:
    """Shared by all lives of this process, as is the loop: what a task keeps for its thread or loop is there for the next test."""
    return Threads(number)


@cache
def _task_loop() -> TaskLoop:
    return TaskLoop()


class ObservedRunner(Runner):
    """`on_outcome` is told of each outcome before the message is settled."""

    def __init__(
        self,
        work: WorkQueue,
        options: Options,
        services: Services,
        release: Callable[[], None],
        overrun: Callable[[], None],
        on_outcome: Callable[[Message, Outcome], None],
    ) -> None:
        super().__init__(work, options, services, release, overrun)
        self._hands.use(_threads(options.threads), _task_loop())
        self._on_outcome = on_outcome

    def running(self) -> list[str]:
        """The names of the tasks that have not ended."""
        return [held.message.task or "a plain message" for held in self._held]

    def _report(self, message: Message, outcome: Outcome) -> None:
        self._on_outcome(message, outcome)
        super()._report(message, outcome)


class ObservedWorker(Worker):
    """`on_outcome` is told before a message is settled, and says whether the worker is to stop with it."""

    serves_schedules = False
    """It would by the real clock: here the drain does (testing/timetable)."""

    runs_processes = False
    """The test's own program has them all."""

    def __init__(
        self, work: WorkQueue, url: str, options: Options, on_outcome: Callable[[Message, Outcome], bool]
    ) -> None:
        super().__init__(work, url, options)
        self._on_outcome = on_outcome
        self._observed: ObservedRunner | None = None
        self.connections: list[Connection] = []

    @property
    def working(self) -> bool:
        return self._observed is not None and len(self._observed) > 0

    def running(self) -> list[str]:
        """The names of their tasks."""
        return self._observed.running() if self._observed is not None else []

    async def _connect(self, name: str) -> Connection:
        connection = await super()._connect(name)
        self.connections.append(connection)
        return connection

    def _make_runner(self, services: Services) -> Runner:
        release, overrun = self._release, self._overrun
        self._observed = ObservedRunner(self.work, self.options, services, release, overrun, self._ended)
        return self._observed

    def _ended(self, message: Message, outcome: Outcome) -> None:
        if self._on_outcome(message, outcome):
            self._slots.close()
            self.stop()

    def _overrun(self) -> None:
        """Another process would take its place. Here the next life has other threads."""
        abandon_threads()
        super()._overrun()


class Life:
    """Begins with `start`. `over` ends with it, with what the worker raised if it was no death that the test wanted."""

    def __init__(self, work: WorkQueue, url: str, threads: int, on_outcome: Callable[[Message, Outcome], bool]) -> None:
        self._worker = ObservedWorker(work, url, Options(threads, shutdown_timeout_s=SHUTDOWN_S), on_outcome)
        self._begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()
        self.over: Future[None] = Future()
        self.killed = False
        self._thread = threading.Thread(target=self._main, name="leveret-test-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def working(self) -> bool:
        return self._worker.working and not self.over.done()

    def running(self) -> list[str]:
        return self._worker.running()

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(self._live())
        except BaseException as error:
            if not self.killed:
                self.over.set_exception(error)
                return
        self.over.set_result(None)

    async def _live(self) -> None:
        living = asyncio.ensure_future(self._worker.run())
        self._begun.set_result((asyncio.get_running_loop(), living))
        await living

    def stop(self) -> None:
        """In good order: what runs may end. Raises what the worker did."""
        loop, _ = self._begun.result(END_S)
        with suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(self._worker.stop)
        self._thread.join(END_S)
        if self._thread.is_alive():
            raise TaskError(f"the worker of the test does not stop within {END_S:g} s")
        self.over.result()

    def kill(self) -> None:
        """From any thread but its own; returns when it is dead."""
        self.killed = True
        loop, living = self._begun.result(END_S)
        for connection in self._worker.connections:
            _cut(connection.fileno())
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(living.cancel)
        self._thread.join(END_S)


def abandon_threads() -> None:
    """One of them does not come back: the next life has new ones."""
    _threads.cache_clear()
    _task_loop.cache_clear()


def _cut(number: int) -> None:
    """Both directions of that socket, whatever its owner still wants to say."""
    if number >= 0:
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as doomed:
            doomed.shutdown(socket.SHUT_RDWR)
