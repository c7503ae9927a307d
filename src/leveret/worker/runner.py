"""Runs what is delivered: a task begins when a slot is free, and its message is settled when it has ended.

Everything here happens on the worker's event loop; the tasks themselves are in other hands. Made by worker, called by slots.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from mypy_extensions import mypyc_attr

from leveret.client import Delivery
from leveret.errors import TimeLimitExceeded
from leveret.tasks import Cancelled, Message, Outcome, Parked, Progress, TaskContext, WorkQueue
from leveret.tasks.events import Running
from leveret.tasks.expiry import expired
from leveret.tasks.handler import TimeLimit
from leveret.tasks.lane import DECLARED_S
from leveret.tasks.message import CRASHES
from leveret.worker.apart import Apart
from leveret.worker.ending import Ending
from leveret.worker.executor import Job, ended_oddly, find, killed, overran
from leveret.worker.gates import Elsewhere, Entry, Second, Unwanted
from leveret.worker.hands import Hands
from leveret.worker.held import Held, Holdings
from leveret.worker.moves import Moves
from leveret.worker.options import Options
from leveret.worker.pace import Pace
from leveret.worker.permits import Permit
from leveret.worker.services import Services
from leveret.worker.settle import acknowledge, give_back
from leveret.worker.status import Oldest
from leveret.worker.tally import Tally
from leveret.worker.telling import Telling
from leveret.worker.waiting import Taken

log = logging.getLogger("leveret.worker")


@mypyc_attr(allow_interpreted_subclasses=True)
class Runner:
    """`release` makes room for another delivery; `overrun` says that a task has not ended within its hard limit; `busy`, that a
    slot which becomes free is wanted for something else than a lane of that queue.

    `apart`: see hands.
    """

    def __init__(
        self,
        work: WorkQueue,
        options: Options,
        services: Services,
        release: Callable[[], None],
        overrun: Callable[[], None],
        busy: Callable[[str], bool] = lambda _: True,
        apart: Apart | None = None,
    ) -> None:
        self._work = work
        self._settler = services.settler
        self._answers = services.answers
        self._gates = services.gates
        self._waiting = services.waiting
        self._keeper = services.keeper
        self._release = release
        self._overrun = overrun
        self._busy = busy
        self._loop = asyncio.get_running_loop()
        self._telling = Telling(work, services.announcer)
        self._ending = Ending(work, services, self._report)
        self._hands = Hands(options, apart, self._begun, self._finish)
        self._held = Holdings()
        self._running: dict[str, TaskContext] = {}
        self._moves = Moves()
        self._leaving = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.stopping = False

    def __len__(self) -> int:
        """How many deliveries are not settled yet, or leave a place of a limit or a slot to the next."""
        return len(self._held) + self._leaving

    def under_way(self) -> Sequence[Running]:
        """What runs, the oldest first."""
        return self._held.under_way(time.time() - self._loop.time())

    def look(self) -> Oldest | None:
        """The task that has run longest; and the tally says what runs just now."""
        return self._telling.look(self._held.begun())

    @property
    def tally(self) -> Tally:
        return self._telling.tally

    @property
    def ran(self) -> int:
        """How many tasks have ended here."""
        return self._hands.ran

    def pace(self, queue: str) -> Pace:
        """Of what runs for it."""
        return self._hands.pace_of_queue[queue]

    def cancel(self, id: str) -> None:
        """Somebody cancelled it, or its workflow; it may be running here."""
        for context in list(self._running.values()):
            if id in (context.id, context.message.workflow):
                context.cancel()

    # ---- the beginning

    def start(self, queue: str, delivery: Delivery) -> None:
        held = Held(delivery, Message.of(queue, delivery))
        if held.message.ticket:
            self._hold(held)
            self._moves.begin(self._visit(held))
        else:
            self._start(held)

    def _hold(self, held: Held) -> None:
        self._held.add(held)
        self.idle.clear()

    def _start(self, held: Held) -> None:
        self._hold(held)
        delivery, message = held.delivery, held.message
        handler = find(self._work, message)
        if isinstance(handler, Parked):
            self._settle(held, handler)
        elif message.wait_ms:
            self._move(held, self._settler.wait_on(delivery, message))
        elif delivery.redelivered:
            self._move(held, self._settler.write_down(delivery, message))
        elif message.expires_ms and (late := expired(message, self._work.now())) is not None:
            self._settle(held, late)
        else:
            limit = handler.settings.time_limit
            context = TaskContext(message, limit.soft_s if limit else None, self._progress)
            job = held.job = Job(context, handler, self._work.middleware)
            self._running[message.id] = context
            if self._settler.writes or self._gates.concern(message, handler.settings.limits):
                self._moves.begin(self._enter(held, job))
            else:
                self._hands.begin(held, job)

    async def _enter(self, held: Held, job: Job) -> None:
        message, taken = held.message, held.taken
        await self._settler.written(message.id)
        rated = taken is not None and taken.rated
        entry = Entry(message, job.handler, lambda: held.delivery.lost, held.permit, rated)
        stop = await self._gates.enter(entry)
        held.permit = entry.permit
        if held.delivery.lost:
            self._forget(held)
        elif self.stopping:
            return  # it is given back
        elif isinstance(stop, Second):
            log.warning("task=%s id=%s was sent twice, this one is dropped", message.task, message.id)
            acknowledge(held.delivery)
            self._forget(held)
        elif isinstance(stop, Elsewhere):
            self._move(held, self._waiting.set_aside(held.delivery, message, stop))
        elif isinstance(stop, Unwanted) or job.context.cancelled:
            self._settle(held, Cancelled())
        else:
            self._hands.begin(held, job)

    def _begun(self, held: Held, job: Job) -> None:
        self._telling.started(held.message)
        limit = job.handler.settings.time_limit
        if limit is not None:
            held.timers = self._limit(held, job, limit)

    def _limit(self, held: Held, job: Job, limit: TimeLimit) -> tuple[asyncio.TimerHandle, ...]:
        later = self._loop.call_later
        hard = later(limit.hard_s, self._too_long, held, job, limit.hard_s)
        if job.interrupt is None:  # an async task, or one apart, sees to its soft limit itself
            return (hard,)
        return hard, later(limit.soft_s, job.interrupt.throw, TimeLimitExceeded)

    def _progress(self, message: Message, progress: Progress) -> None:
        """On the thread of the task."""
        self._answers.progress(message, progress)
        self._telling.progress(message, progress)

    # ---- lanes

    async def _visit(self, held: Held) -> None:
        """A ticket holds the slot in which a message of its lane is run."""
        taken = await self._waiting.visit(held.delivery, held.message)
        if taken is None or self.stopping or held.delivery.lost:
            if taken is not None:
                await self._put_back(taken)
                await self._give(taken.permit)
            self._forget(held)
        else:
            self._moves.begin(self._waiting.pass_on(held.delivery, held.message))
            self._begin_taken(taken)
            self._held.remove(held)

    def _begin_taken(self, taken: Taken) -> None:
        message = Message.of(taken.lane.home, taken.delivery)
        held = Held(taken.delivery, message, taken=taken, permit=taken.permit)
        self._start(held)
        self._loop.call_later(DECLARED_S, self._keep_lane, held, taken)

    def _keep_lane(self, held: Held, taken: Taken) -> None:
        """As long as the message is held."""
        if held in self._held:
            self._moves.begin(self._waiting.keep(taken.lane))
            self._loop.call_later(DECLARED_S, self._keep_lane, held, taken)

    async def _leave(self, permit: Permit) -> None:
        """The place of a limit is the next one's, who begins in the slot that was ours, unless others wait for that."""
        taken = None
        try:
            if self._waiting.wanted(permit) and not self._busy(permit.place.lane.home):
                taken = await self._waiting.next(permit)
            if taken is not None and self.stopping:
                await self._put_back(taken)
                taken = None
            if taken is None:
                await self._give(permit)
        finally:
            if taken is None:
                self._free_soon()
            else:
                self._leaving -= 1
                self._begin_taken(taken)

    async def _put_back(self, one: Taken) -> None:
        await self._settler.put_back(one.delivery, Message.of(one.lane.home, one.delivery))

    async def _give(self, permit: Permit | None) -> None:
        if permit is not None:
            await self._waiting.give(permit)

    # ---- the end

    def _finish(self, held: Held, job: Job, outcome: Outcome | None, error: BaseException | None) -> None:
        if held.moving or held not in self._held:
            log.warning("task=%s id=%s ended after it was given up", job.message.task, job.message.id)
        elif isinstance(error, asyncio.CancelledError) and self.stopping:
            log.warning("task=%s id=%s was cancelled, it goes back", job.message.task, job.message.id)
            self._move(held, self._settler.put_back(held.delivery, held.message))
        elif outcome is None:
            self._settle(held, ended_oddly(job, error or RuntimeError("it ended without an outcome")))
        else:
            self._settle(held, outcome)

    def _too_long(self, held: Held, job: Job, limit_s: float) -> None:
        """A thread cannot be ended but with the process."""
        log.error("task=%s id=%s overran its hard time limit of %g s", job.message.task, job.message.id, limit_s)
        if self._hands.kill(held, job):
            self._settle(held, killed(job, limit_s))
        else:
            self._settle(held, overran(job, limit_s))
            self._overrun()

    def _settle(self, held: Held, outcome: Outcome) -> None:
        held.begun_s = None
        self._report(held.message, outcome)
        ending = self._ending.of(held.delivery, held.message, outcome)
        if ending is None:
            self._forget(held)
        else:
            self._move(held, ending)

    def _report(self, message: Message, outcome: Outcome) -> None:
        self._telling.ended(message, outcome)

    def _move(self, held: Held, moving: Coroutine[Any, Any, None]) -> None:
        held.moving = True
        for timer in held.timers:
            timer.cancel()
        self._moves.begin(moving).add_done_callback(lambda _: self._forget(held))

    def _forget(self, held: Held) -> None:
        if not self._held.remove(held):
            return
        for timer in held.timers:
            timer.cancel()
        self._running.pop(held.message.id, None)
        self._leaving += 1
        if held.permit is not None:
            self._moves.begin(self._leave(held.permit))
        else:
            self._free_soon()

    def _free_soon(self) -> None:
        """In the turn of the loop after the next. In the next one the connection writes what is acknowledged in this one: so whoever
        kills this process when a task begins finds the one before it done with.
        """
        self._loop.call_soon(self._loop.call_soon, self._free)

    def _free(self) -> None:
        """The slot, for the next task."""
        self._leaving -= 1
        if len(self) == 0:
            self.idle.set()
        self._release()

    # ---- stopping

    def return_unbegun(self, queue: str, delivery: Delivery) -> None:
        """It waited for a slot in vain. Where that may be held against it, as a start that told nothing, it goes as a new copy."""
        message = Message.of(queue, delivery)
        if CRASHES in message.headers and not delivery.lost:
            self._moves.begin(self._settler.put_back(delivery, message))
        else:
            give_back(delivery)

    async def give_back(self, within_s: float) -> None:
        """What still runs is cancelled, if it can be, and goes back to its queue, not charged with a crash."""
        self.stopping = True
        self._telling.close()
        await self._hands.cancel()
        for held in self._held:
            if held.job is not None and not held.moving:
                self._move(held, self._settler.put_back(held.delivery, held.message))
        await self._moves.wait(within_s)

    async def clean_up(self, within_s: float) -> None:
        """What async providers keep for the process, on the loop of the tasks."""
        if self._work.providers.waiting:
            await self._hands.on_task_loop(self._work.providers.leave_loop(), within_s)

    def end(self) -> None:
        """Its threads, however the worker ends: each as soon as it has nothing to do."""
        self._hands.end()
        if self._keeper is not None:
            self._keeper.end()
