"""Runs what is delivered: a task begins when a slot is free, and its message is settled when it has ended.

Everything here happens on the worker's event loop but the tasks themselves (pool). Made by worker, called by slots.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from leveret.client import Delivery
from leveret.errors import TimeLimitExceeded
from leveret.tasks import Cancelled, Done, Message, Outcome, Parked, TaskContext, WorkQueue
from leveret.worker import report
from leveret.worker.answers import Answers
from leveret.worker.claims import Claims
from leveret.worker.control import Control
from leveret.worker.executor import Job, ended_oddly, find, overran, perform, perform_async
from leveret.worker.pool import TaskLoop, Threads
from leveret.worker.settle import Settler, acknowledge

log = logging.getLogger("leveret.worker")


@dataclass(slots=True)
class Held:
    """A delivery that is ours to settle, and what runs for it. `timers` are its time limits."""

    delivery: Delivery
    message: Message
    job: Job | None = None
    timers: tuple[asyncio.TimerHandle, ...] = ()


class Runner:
    """`release` makes room for another delivery; `overrun` says that a task has not ended within its hard limit."""

    def __init__(
        self,
        work: WorkQueue,
        threads: int,
        settler: Settler,
        answers: Answers,
        control: Control,
        claims: Claims,
        release: Callable[[], None],
        overrun: Callable[[], None],
    ) -> None:
        self._work = work
        self._settler = settler
        self._answers = answers
        self._control = control
        self._claims = claims
        self._release = release
        self._overrun = overrun
        self._loop = asyncio.get_running_loop()
        self._threads = Threads(threads)
        self._task_loop = TaskLoop()
        self._held: dict[Delivery, Held] = {}
        self._running: dict[str, TaskContext] = {}
        self._moves: set[asyncio.Task[None]] = set()
        self._over: deque[tuple[Held, Job, Outcome | None, BaseException | None]] = deque()
        self._awake = False
        self.ran = 0
        """How many tasks have ended here."""
        self.idle = asyncio.Event()
        self.idle.set()
        self.stopping = False

    def __len__(self) -> int:
        """How many deliveries are not settled yet."""
        return len(self._held)

    def cancel(self, id: str) -> None:
        """Somebody cancelled it; it may be running here."""
        context = self._running.get(id)
        if context is not None:
            context.cancel()

    # ---- the beginning

    def start(self, queue: str, delivery: Delivery) -> None:
        held = self._held[delivery] = Held(delivery, Message.of(queue, delivery))
        self.idle.clear()
        message = held.message
        handler = find(self._work, message)
        if isinstance(handler, Parked):
            self._settle(held, handler)
        elif message.wait_ms:
            self._move(held, self._settler.wait_on(delivery, message))
        elif delivery.redelivered:
            self._move(held, self._settler.write_down(delivery, message))
        else:
            limit = handler.settings.time_limit
            context = TaskContext(message, limit.soft_s if limit else None, self._answers.progress)
            held.job = Job(context, handler, self._work.middleware)
            self._running[message.id] = context
            if message.cancellable or message.claimed:
                self._later(self._begin_if_wanted(held, held.job))
            else:
                self._begin(held, held.job)

    async def _begin_if_wanted(self, held: Held, job: Job) -> None:
        message = held.message
        if message.cancellable and await self._control.is_cancelled(message.id):
            job.context.cancel()
        second = message.claimed and not await self._claims.take(message.id)
        if held.delivery.lost:
            self._forget(held)
        elif self.stopping:
            return  # it is given back
        elif second:
            log.warning("task=%s id=%s was sent twice, this one is dropped", message.task, message.id)
            acknowledge(held.delivery)
            self._forget(held)
        elif job.context.cancelled:
            self._settle(held, Cancelled())
        else:
            self._begin(held, job)

    def _begin(self, held: Held, job: Job) -> None:
        try:
            self._submit(held, job)
        except RuntimeError as error:  # no thread to be had
            self._settle(held, ended_oddly(job, error))
            return
        limit = job.handler.settings.time_limit
        if limit is not None:
            later = self._loop.call_later
            hard = later(limit.hard_s, self._too_long, held, job, limit.hard_s)
            soft = () if job.handler.is_async else (later(limit.soft_s, job.interrupt.throw, TimeLimitExceeded),)
            held.timers = (hard, *soft)

    def _submit(self, held: Held, job: Job) -> None:
        if job.handler.is_async:
            self._task_loop.submit(perform_async(job)).add_done_callback(partial(self._ended_async, held, job))
        else:
            self._threads.submit(partial(perform, job), partial(self._ended, held, job))

    # ---- the end

    def _ended_async(self, held: Held, job: Job, future: Future[Outcome]) -> None:
        if future.cancelled():
            self._ended(held, job, None, asyncio.CancelledError("the task cancelled itself"))
        else:
            error = future.exception()
            self._ended(held, job, None if error is not None else future.result(), error)

    def _ended(self, held: Held, job: Job, outcome: Outcome | None, error: BaseException | None) -> None:
        """On the thread of the task. The loop is woken once for all that end before it looks."""
        self._over.append((held, job, outcome, error))
        if not self._awake and not self._loop.is_closed():
            self._awake = True
            self._loop.call_soon_threadsafe(self._finish_all)

    def _finish_all(self) -> None:
        self._awake = False
        for _ in range(len(self._over)):
            self._finish(*self._over.popleft())

    def _finish(self, held: Held, job: Job, outcome: Outcome | None, error: BaseException | None) -> None:
        self.ran += 1
        if held.delivery not in self._held:
            log.warning("task=%s id=%s ended after it was given up", job.message.task, job.message.id)
        elif isinstance(error, asyncio.CancelledError) and self.stopping:
            log.warning("task=%s id=%s was cancelled, it goes back", job.message.task, job.message.id)
            self._move(held, self._settler.put_back(held.delivery, held.message))
        elif outcome is None:
            self._settle(held, ended_oddly(job, error or RuntimeError("it ended without an outcome")))
        else:
            self._settle(held, outcome)

    def _too_long(self, held: Held, job: Job, limit_s: float) -> None:
        """Its thread cannot be ended but with the process."""
        log.error("task=%s id=%s overran its hard time limit of %g s", job.message.task, job.message.id, limit_s)
        self._settle(held, overran(job, limit_s))
        self._overrun()

    def _settle(self, held: Held, outcome: Outcome) -> None:
        message = held.message
        report.outcome(message, outcome)
        if message.properties.reply_to or isinstance(outcome, Cancelled):
            self._move(held, self._settle_and_tell(held, outcome))
        elif isinstance(outcome, Done):
            acknowledge(held.delivery)
            self._forget(held)
        else:
            self._move(held, self._settler.settle(held.delivery, message, outcome))

    async def _settle_and_tell(self, held: Held, outcome: Outcome) -> None:
        """The answer goes first: after the acknowledgement nobody would give it any more."""
        await self._answers.give(held.message, outcome)
        if isinstance(outcome, Done | Cancelled):
            acknowledge(held.delivery)
        else:
            await self._settler.settle(held.delivery, held.message, outcome)
        if isinstance(outcome, Cancelled):
            await self._control.forget(held.message.id)

    def _move(self, held: Held, moving: Coroutine[Any, Any, None]) -> None:
        for timer in held.timers:
            timer.cancel()
        self._later(moving).add_done_callback(lambda _: self._forget(held))

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._moves.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._moves.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a message could not be settled", exc_info=task.exception())

    def _forget(self, held: Held) -> None:
        if self._held.pop(held.delivery, None) is None:
            return
        for timer in held.timers:
            timer.cancel()
        self._running.pop(held.message.id, None)
        if not self._held:
            self.idle.set()
        self._release()

    # ---- stopping

    async def give_back(self, within_s: float) -> None:
        """What still runs is cancelled, if it can be, and goes back to its queue, not charged with a crash."""
        self.stopping = True
        await self._task_loop.cancel()
        for held in list(self._held.values()):
            if held.job is not None and held.delivery in self._held:
                self._move(held, self._settler.put_back(held.delivery, held.message))
        if self._moves:
            await asyncio.wait(self._moves, timeout=within_s)
