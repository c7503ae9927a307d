"""The worker of one process: takes deliveries of its queues, runs their tasks, settles them.

Stopping, in order (sidekiq's manager is the model):
  1. quiet      nothing starts any more; no queue is read, and what waits for a slot goes back
  2. wait       running tasks may finish, and are acknowledged, for `shutdown_timeout_s`
  3. give back  async tasks still running are cancelled; what has not ended is put back into its queue, then the
                connection is closed
  4. stop
`quiet` is the first step alone: what runs goes on, nothing new begins, until `resume` or `stop`. Orders (tasks/orders) say these too.
Guarantee: at every moment of this, and of any crash in it, a message is acknowledged after its task ran, or stands in a
queue. `quit` skips the waiting. It loads no program and knows no signals: see child and run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from leveret.client import Backoff, Connection, connect
from leveret.client.url import parse_url
from leveret.errors import ClientError, ConnectionError, ConnectionLost, TaskError, WaitTimeout
from leveret.tasks import Handler, WorkQueue
from leveret.tasks.middleware import tell_ready
from leveret.tasks.orders import Deed, Order
from leveret.tasks.outbox import Outbox
from leveret.worker.announcer import Announcer
from leveret.worker.apart import Apart
from leveret.worker.intake import Intake
from leveret.worker.noticeboard import Noticeboard
from leveret.worker.nursery import Nursery
from leveret.worker.options import CAN_FORK, Options
from leveret.worker.pauses import Pauses
from leveret.worker.runner import Runner
from leveret.worker.scheduler import Scheduler
from leveret.worker.services import Services
from leveret.worker.slots import Slots
from leveret.worker.source import Source
from leveret.worker.status import About, Status, without_password
from leveret.worker.wear import Wear

log = logging.getLogger("leveret.worker")

CLOSE_S: Final = 5.0
CONNECTIONS: Final = 2
FORCED: Final = 320
"""CONNECTION_FORCED: the broker is stopping, which passes."""


class Worker:
    """`run` is its life, on one event loop; `stop` and `quit` are called there too. TaskError if it cannot work."""

    serves_schedules = True
    """Whether it stands by to be the one that sends what is scheduled."""

    runs_processes = True
    """Whether tasks may run in processes of their own. If not they run as others do."""

    def __init__(self, work: WorkQueue, url: str, options: Options, app: str = "") -> None:
        self.work = work
        self.app = app
        self.options = options
        self.queues = list(options.queues) or work.queues()
        self._url = url
        self._check()
        self._wear = Wear(options)
        self.worn = False
        """Whether another process is to take the place of this one."""
        self._stopping = asyncio.Event()
        self._quitting = asyncio.Event()
        self._quiet = asyncio.Event()
        self._resumed = asyncio.Event()
        self._told = 0
        self.dismissed = False
        """Whether an order has stopped it, and nobody is to take its place."""
        self.place = 0
        """Its number among its supervisor's processes, from 1."""
        self._connections: list[Connection] = []
        self._runner: Runner | None = None
        self._pauses: Pauses | None = None
        self._id = ""
        self._ready = False
        self._started_s = time.time()
        self.on_change: Callable[[], object] = lambda: None
        """Called when `status` says something else than before."""

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
        handlers = (*self.work.tasks.values(), *self.work.consumers.values())  # a call may name any queue
        for handler in handlers:
            handler.check()
        for schedule in self.work.schedules.values():
            self.work.check(schedule.call)
        processes = self.options.process_per_task or any(handler.settings.process for handler in handlers)
        if processes and self.runs_processes:
            self._check_processes()

    def _check_processes(self) -> None:
        if not CAN_FORK:
            raise TaskError("process=True, and process_per_task, need a fork, and this system has none")
        if not self.app:
            raise TaskError(
                "process=True, and process_per_task: a task's own process has to load the program, which needs its WorkQueue at "
                "the top level of a file or module"
            )

    @property
    def _handlers(self) -> list[Handler[..., Any]]:
        """Of the queues that are read."""
        known = (*self.work.tasks.values(), *self.work.consumers.values())
        return [handler for handler in known if handler.queue in self.queues]

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

    def quiet(self) -> None:
        """Take nothing new; what runs goes on."""
        self._told += 1
        self._resumed.clear()
        self._quiet.set()

    def resume(self) -> None:
        """Be quiet no more."""
        self._told += 1
        self._quiet.clear()
        self._resumed.set()

    def _obey(self, order: Order) -> None:
        if order.cancel and self._runner is not None:
            self._runner.cancel(order.cancel)
        if order.look and self._pauses is not None:
            self._pauses.doubt(order.look)
        if order.do is not None and order.concerns(self._id):
            log.info("worker has the order: %s", order.do)
            self._do(order.do)

    def _do(self, deed: Deed) -> None:
        if deed == "quiet":
            self.quiet()
        elif deed == "resume":
            self.resume()
        else:
            self.dismissed = True
            self.stop()

    def _overrun(self) -> None:
        """A task does not end: this process has to, once the others had their time."""
        self.worn = True
        self.stop()

    # ---- its life

    async def run(self) -> None:
        """Until stopped. Raises ClientError or AMQPError if the broker does not want us (wrong password)."""
        self.work.providers.enter()
        try:
            await self._run()
        finally:
            if self._runner is not None:
                self._runner.end()
            self.work.providers.leave()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        connection = await self._unless_stopped(self._connect("worker"))
        moving = None if connection is None else await self._unless_stopped(self._connect("worker, what failed"))
        if connection is None:
            return
        if moving is None:
            await connection.close(CLOSE_S)
            return
        outbox = Outbox(moving, self.work.declared)
        announcer = self._make_announcer(moving)
        services = Services.over(connection, moving, outbox, announcer, self.work)
        runner = self._runner = self._make_runner(services)
        self._slots = Slots(self.options.threads, runner.start, self._weight)
        tell_ready(self.work.middleware)
        await services.control.listen(self._obey)
        intake = self._make_intake(connection, outbox, services, runner)
        listening = asyncio.create_task(services.control.tend(intake.pauses.doubt))
        if self.work.announces:
            announcer.open(runner.under_way, lambda: runner.ran, lambda: runner.tally.counts)
        await self._take(intake, runner, announcer)
        listening.cancel()
        announcer.be("stopping")
        await self._shut_down(connection, runner)
        await announcer.close()
        await moving.close(CLOSE_S)
        log.info("worker stopped")
        if intake.broken is not None:  # an error of our own: nobody would read that queue any more
            raise intake.broken

    async def _take(self, intake: Intake, runner: Runner, announcer: Announcer) -> None:
        """Until it stops, or is broken; quiet or not."""
        while not self.stopping:
            intake.begin()
            announcer.be("running")
            log.info("worker ready queues=%s slots=%d", ",".join(self.queues), self.options.threads)
            self._set_ready(True)
            await self._first_of(self._stopping, self._quiet, *intake.tending)
            self._set_ready(False)
            announcer.be("stopping" if self.stopping else "quiet")
            log.info("worker stopping running=%d" if self.stopping else "worker quiet running=%d", len(runner))
            await intake.end()
            if intake.broken is not None:
                return
            await self._first_of(self._stopping, self._resumed)

    def _make_announcer(self, connection: Connection) -> Announcer:
        announcer = Announcer(
            connection,
            self.work.name,
            self.queues,
            self.options.threads,
            weights={queue: self._weight(queue) for queue in self.queues if self._weight(queue) != 1},
            place=self.place,
        )
        self._id = announcer.worker
        return announcer

    def _weight(self, queue: str) -> int:
        return self.work.declared(queue).weight

    def _make_intake(self, connection: Connection, outbox: Outbox, services: Services, runner: Runner) -> Intake:
        sources = [
            Source(
                connection,
                self.work.declared(queue),
                self._slots,
                runner.pace(queue),
                runner.return_unbegun,
            )
            for queue in self.queues
        ]
        self._pauses = Pauses(connection, self._slots, sources)
        return Intake(self._slots, sources, self._pauses, self._scheduler(connection, outbox, services))

    def _scheduler(self, connection: Connection, outbox: Outbox, services: Services) -> Scheduler | None:
        if not (self.work.schedules and self.serves_schedules):
            return None
        schedules = list(self.work.schedules.values())
        board = Noticeboard(outbox.connection, self.work.name, self._id, schedules)
        return Scheduler(self.work.name, schedules, connection, outbox, services.locks, self.work.scheduled, board)

    def _make_runner(self, services: Services) -> Runner:
        apart = self._make_apart()
        return Runner(
            self.work,
            self.options,
            services,
            self._release,
            self._overrun,
            lambda queue: self._slots.busy(queue),
            apart,
        )

    def _make_apart(self) -> Apart | None:
        """Its zygote is started now if tasks are known to need it, else when the first one does."""
        if not (self.runs_processes and self.app and CAN_FORK):
            return None
        needed = self.options.process_per_task or any(handler.settings.process for handler in self._handlers)
        apart = Apart(Nursery(self.app, self._url, self.options, needed))
        if needed:
            apart.open()
        return apart

    def _set_ready(self, ready: bool) -> None:
        self._ready = ready
        self.on_change()

    def status(self) -> Status:
        """How it fares; on its loop."""
        runner = self._runner
        oldest = runner.look() if runner is not None else None
        return Status(
            os.getpid(),
            self._started_s,
            len(self._connections) == CONNECTIONS and all(one.connected for one in self._connections),
            self._ready,
            self.queues,
            self.options.threads,
            len(runner) if runner is not None else 0,
            oldest,
            runner.tally.counts if runner is not None else [],
            quiet=self._quiet.is_set(),
            told=self._told,
        )

    def about(self) -> About:
        """What it works for."""
        return About(
            without_password(self._url),
            self.queues,
            sorted(handler.name for handler in self._handlers),
            [f"{one.name}: {one.describe()}" for one in self.work.schedules.values()],
        )

    def _release(self) -> None:
        assert self._runner is not None
        worn = "" if self.worn else self._wear.reason(self._runner.ran)
        if worn:
            log.info("worker is replaced, for %s", worn)
            self.worn = True
            self._slots.close()
            self.stop()
        self._slots.release()
        self.on_change()

    async def _first_of(self, *awaited: asyncio.Event | asyncio.Task[None]) -> None:
        events = [asyncio.create_task(one.wait()) for one in awaited if isinstance(one, asyncio.Event)]
        tasks = [one for one in awaited if not isinstance(one, asyncio.Event)]
        await asyncio.wait([*events, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in events:
            task.cancel()

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
                if attempt:
                    await self._revive()
                connection = await connect(self._url, name=f"{self.work.name} {name}")
                connection.on_lost = self._lost
                connection.on_reconnect = self._changed
                connection.before_attempt = self._revive
                self._connections.append(connection)
                return connection
            except (ConnectionLost, WaitTimeout, TaskError) as error:
                if isinstance(error, ConnectionError) and error.code != FORCED:
                    raise
                log.warning("the broker cannot be reached, trying again: %s", error)
            await backoff.wait(attempt)
            attempt += 1

    def _lost(self, error: Exception) -> None:
        self.on_change()
        if self._pauses is not None:  # what is said meanwhile is not heard
            self._pauses.doubt()

    def _changed(self) -> None:
        self.on_change()

    async def _revive(self) -> None:
        """The project's own broker may have to be started again. One that was just killed may seem to listen for a moment, so
        this is done before each attempt to reach it. TaskError if it cannot be started."""
        if not self.stopping:
            await self._loop.run_in_executor(None, self.work.broker_url)

    async def _shut_down(self, connection: Connection, runner: Runner) -> None:
        if self._quiet.is_set():
            log.info("worker stopping running=%d", len(runner))
        await self._wait_for_tasks(runner)
        if len(runner):
            log.warning("worker gives back running=%d", len(runner))
        await runner.give_back(CLOSE_S)
        await runner.clean_up(CLOSE_S)
        await connection.close(CLOSE_S)

    async def _wait_for_tasks(self, runner: Runner) -> None:
        waiting = [asyncio.create_task(event.wait()) for event in (runner.idle, self._quitting)]
        await asyncio.wait(waiting, timeout=self.options.shutdown_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
