"""The worker of one process: takes deliveries of its queues, runs their tasks, settles them.

Stopping, in order (sidekiq's manager is the model):
  1. quiet      nothing starts any more; no queue is read, and what waits for a slot goes back
  2. wait       running tasks may finish, and are acknowledged, for `shutdown_timeout_s`
  3. give back  async tasks still running are cancelled; what has not ended is put back into its queue, then the
                connection is closed
  4. stop
Guarantee: at every moment of this, and of any crash in it, a message is acknowledged after its task ran, or stands in a
queue. `quit` skips the waiting. It loads no program and knows no signals: see child and run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from leveret.client import Backoff, Connection, connect
from leveret.client.url import parse_url
from leveret.errors import ClientError, ConnectionError, ConnectionLost, TaskError, WaitTimeout
from leveret.tasks import WorkQueue
from leveret.tasks.outbox import Outbox
from leveret.worker.answers import Answers
from leveret.worker.claims import Claims
from leveret.worker.control import Control
from leveret.worker.options import Options
from leveret.worker.runner import Runner
from leveret.worker.scheduler import Scheduler
from leveret.worker.settle import Settler
from leveret.worker.slots import Slots
from leveret.worker.source import Source
from leveret.worker.wear import Wear

log = logging.getLogger("leveret.worker")

CLOSE_S: Final = 5.0
FORCED: Final = 320
"""CONNECTION_FORCED: the broker is stopping, which passes."""


class Worker:
    """`run` is its life, on one event loop; `stop` and `quit` are called there too. TaskError if it cannot work."""

    serves_schedules = True
    """Whether it stands by to be the one that sends what is scheduled."""

    def __init__(self, work: WorkQueue, url: str, options: Options) -> None:
        self.work = work
        self.options = options
        self.queues = list(options.queues) or work.queues()
        self._url = url
        self._check()
        self._wear = Wear(options)
        self.worn = False
        """Whether another process is to take the place of this one."""
        self._stopping = asyncio.Event()
        self._quitting = asyncio.Event()
        self._reviving: asyncio.Future[None] | None = None

    def _check(self) -> None:
        """Everything that would make each message fail is told before the first one is taken."""
        self.options.check()
        try:
            parse_url(self._url)
        except ClientError as error:
            raise TaskError(str(error)) from None
        if not self.queues:
            raise TaskError("the program has no tasks and no consumer functions: there is no queue to read")
        unknown = sorted(set(self.queues) - set(self.work.queues()))
        if unknown:
            raise TaskError(f"the program reads no queue {unknown[0]!r}; it reads {', '.join(self.work.queues())}")
        for handler in (*self.work.tasks.values(), *self.work.consumers.values()):
            handler.check()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Begin to stop. Safe to call twice."""
        self._stopping.set()

    def quit(self) -> None:
        """Stop now: what runs is given back."""
        self._stopping.set()
        self._quitting.set()

    def _overrun(self) -> None:
        """A task does not end: this process has to, once the others had their time."""
        self.worn = True
        self.stop()

    # ---- its life

    async def run(self) -> None:
        """Until stopped. Raises ClientError or AMQPError if the broker does not want us (wrong password)."""
        self._loop = asyncio.get_running_loop()
        connection = await self._unless_stopped(self._connect("worker"))
        # What failed is published on a connection of its own: a broker that is short of memory or disk does not read from
        # publishers, and would not see what is acknowledged.
        moving = None if connection is None else await self._unless_stopped(self._connect("worker, what failed"))
        if connection is None:
            return
        if moving is None:
            await connection.close(CLOSE_S)
            return
        self._slots = Slots(
            self.options.threads,
            lambda queue, delivery: self._runner.start(queue, delivery),
            lambda queue: self.work.declared(queue).weight,
        )
        outbox, control = Outbox(moving, self.work.declared), Control(connection)
        self._runner = self._make_runner(Settler(outbox), Answers(moving), control, Claims(moving))
        await control.listen(self._runner.cancel)
        sources = [Source(connection, self.work.declared(queue), self._slots) for queue in self.queues]
        tending = [asyncio.create_task(source.tend()) for source in sources]
        if self.work.schedules and self.serves_schedules:
            schedules = list(self.work.schedules.values())
            scheduler = Scheduler(self.work.name, schedules, connection, outbox, self.work.scheduled)
            tending.append(asyncio.create_task(scheduler.tend()))
        log.info("worker ready queues=%s slots=%d", ",".join(self.queues), self.options.threads)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([stopping, *tending], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        broken = [error for task in tending if task.done() and (error := task.exception()) is not None]
        await self._shut_down(connection, sources, tending)
        await moving.close(CLOSE_S)
        log.info("worker stopped")
        if broken:  # an error of our own: nobody would read that queue any more
            raise broken[0]

    def _make_runner(self, settler: Settler, answers: Answers, control: Control, claims: Claims) -> Runner:
        release, threads = self._release, self.options.threads
        return Runner(self.work, threads, settler, answers, control, claims, release, self._overrun)

    def _release(self) -> None:
        worn = "" if self.worn else self._wear.reason(self._runner.ran)
        if worn:
            log.info("worker is replaced, for %s", worn)
            self.worn = True
            self._slots.close()
            self.stop()
        self._slots.release()

    async def _unless_stopped(self, opening: Coroutine[Any, Any, Connection]) -> Connection | None:
        stopping, connecting = asyncio.create_task(self._stopping.wait()), asyncio.create_task(opening)
        try:
            await asyncio.wait((stopping, connecting), return_when=asyncio.FIRST_COMPLETED)
            return await connecting if connecting.done() else None
        finally:
            stopping.cancel()
            connecting.cancel()

    async def _connect(self, name: str) -> Connection:
        """Workers may be started before their broker: try until it is there."""
        backoff, attempt = Backoff(), 0
        while True:
            try:
                connection = await connect(self._url, name=f"{self.work.name} {name}")
                connection.on_lost = self._lost
                return connection
            except (ConnectionLost, WaitTimeout) as error:
                if isinstance(error, ConnectionError) and error.code != FORCED:
                    raise
                log.warning("the broker cannot be reached, trying again: %s", error)
            await backoff.wait(attempt)
            attempt += 1

    def _lost(self, error: Exception) -> None:
        """The client connects again by itself, if there is a broker: the project's own may have to be started again."""
        if not self.stopping:
            self._reviving = self._loop.run_in_executor(None, self._revive)

    def _revive(self) -> None:
        try:
            self.work.broker_url()
        except TaskError as error:
            log.error("the local broker is gone: %s", error)

    async def _shut_down(
        self, connection: Connection, sources: list[Source], tending: list[asyncio.Task[None]]
    ) -> None:
        """See the module's head."""
        log.info("worker stopping running=%d", len(self._runner))
        self._slots.close()
        for task in tending:
            task.cancel()
        await asyncio.gather(*tending, return_exceptions=True)
        await asyncio.gather(*(source.quiet() for source in sources))
        await self._wait_for_tasks()
        if len(self._runner):
            log.warning("worker gives back running=%d", len(self._runner))
        await self._runner.give_back(CLOSE_S)
        await connection.close(CLOSE_S)

    async def _wait_for_tasks(self) -> None:
        waiting = [asyncio.create_task(event.wait()) for event in (self._runner.idle, self._quitting)]
        await asyncio.wait(waiting, timeout=self.options.shutdown_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
