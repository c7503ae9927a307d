"""Tasks that run where they are sent: at once, in the calling thread, without a broker.

In place of a WorkQueue's sender. What is sent is made as always, and its arguments are read back from the JSON, so that
what a worker could not read fails here too, and so do results. Workflows run to their end. Used by harness.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from leveret.errors import TaskError
from leveret.tasks import Done, Failed, Message, Outcome, Parked, Progress, TaskContext, WorkQueue
from leveret.tasks.continuation import Collected, Join, Plan, Result, Step, group_queue, read_in_group, read_next
from leveret.tasks.departure import settled
from leveret.tasks.middleware import ended_hooks, tell
from leveret.tasks.outbox import Parcel
from leveret.tasks.replies import Replies
from leveret.tasks.signature import write
from leveret.tasks.topology import GROUP
from leveret.testing.watch import Watch, error_of
from leveret.worker.answers import answer_of
from leveret.worker.executor import Job, find, perform, perform_async
from leveret.worker.keeping import kept_of


class InlineSender:
    """The verbs of tasks/sender. What a task raises comes out of `send`; nothing is tried again, and nothing waits."""

    def __init__(self, work: WorkQueue, watch: Watch) -> None:
        self._work = work
        self._watch = watch
        self._running: dict[str, TaskContext] = {}
        self._groups = InlineGroups()
        self.replies = Replies()
        """Nobody opens them: they are told."""

    def send(self, parcel: Parcel, timeout_s: float) -> None:
        self.send_many([parcel], timeout_s)

    async def send_async(self, parcel: Parcel, timeout_s: float) -> None:
        await self.send_many_async([parcel], timeout_s)

    def send_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        waiting = deque(parcels)
        while waiting:
            message, job = self._job(waiting.popleft())
            if isinstance(job, Job):
                with self._known(job):
                    outcome = _run(perform_async(job)) if job.handler.is_async else perform(job)
                waiting.extend(self._ended(message, outcome))
            elif job is not None:
                self._ended(message, job)
        return [None] * len(parcels)

    async def send_many_async(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        waiting = deque(parcels)
        while waiting:
            message, job = self._job(waiting.popleft())
            if isinstance(job, Job):
                with self._known(job):  # in a task of its own, which can be cancelled
                    outcome = await asyncio.create_task(perform_async(job)) if job.handler.is_async else perform(job)
                waiting.extend(self._ended(message, outcome))
            elif job is not None:
                self._ended(message, job)
        return [None] * len(parcels)

    def order(self, act: object, timeout_s: float) -> NoReturn:
        """Whatever it is."""
        raise TaskError("where tasks run inline there is no worker to be told anything: use work_queue.drain()")

    async def order_async(self, act: object) -> NoReturn:
        self.order(act, 0.0)

    def cancel(self, id: str, timeout_s: float) -> None:
        """A task can be told only while it runs: by itself, or by another thread."""
        for context in list(self._running.values()):
            if id in (context.id, context.message.workflow):
                context.cancel()

    async def cancel_async(self, id: str, timeout_s: float) -> None:
        self.cancel(id, timeout_s)

    def close(self) -> None:
        """There is nothing to close."""

    def _job(self, parcel: Parcel) -> tuple[Message, Job | Parked | None]:
        """None: it is the plan of a group."""
        self._watch.begin()
        message = Message(parcel.queue, parcel.body, parcel.properties, attempt=1, redelivered=False)
        if parcel.queue.startswith(GROUP):
            self._groups.put(parcel)
            return message, None
        handler = find(self._work, message)
        if isinstance(handler, Parked):
            return message, handler
        limit = handler.settings.time_limit
        context = TaskContext(message, limit.soft_s if limit else None, self._progress)
        return message, Job(context, handler, self._work.middleware)

    @contextmanager
    def _known(self, job: Job) -> Iterator[None]:
        """To `cancel`."""
        self._running[job.message.id] = job.context
        try:
            yield
        finally:
            del self._running[job.message.id]

    def _progress(self, message: Message, progress: Progress) -> None:
        self.replies.tell(message.properties.correlation_id or "", progress)

    def _ended(self, message: Message, outcome: Outcome) -> list[Parcel]:
        """What comes next. Raises its failure."""
        tell(ended_hooks(self._work.middleware), message, outcome)
        error = self._watch.ended(message, outcome)
        if error is None and isinstance(outcome, Failed):  # it asks for another try, which nobody makes here
            error = error_of(message, outcome, None)
        if error is not None:
            raise error
        self._keep(message, outcome)
        if message.workflow and isinstance(outcome, Done) and (steps := read_next(message.body)):
            following = self._groups.follow(steps, msgspec.Raw(write(outcome.value)))
            if following is None:
                return []
            left, value = following
            if left:
                departure = self._work.following(message, left, value, False)
                return departure.plans + departure.parcels
            outcome = Done(value, 0.0)
        answer = answer_of(message, outcome)
        if answer is not None:
            self.replies.tell(message.properties.correlation_id or "", answer)
        return []

    def _keep(self, message: Message, outcome: Outcome) -> None:
        handler = self._work.handler(message.queue, message.task)
        span = None if handler is None else handler.settings.keep_result
        if span is not None and self._work.results_store is not None:
            now = datetime.now(UTC)
            self._work.results_store.put(kept_of(message, outcome, now), now + span)


class InlineGroups:
    """Groups that have begun, by the names of their queues."""

    def __init__(self) -> None:
        self._begun: dict[str, Collected] = {}

    def put(self, parcel: Parcel) -> None:
        """The plan of one."""
        plan = read_in_group(parcel.body)
        assert isinstance(plan, Plan)
        self._begun[parcel.queue] = Collected(plan.size - len(plan.known))
        self._begun[parcel.queue].add(plan)

    def follow(self, steps: list[Step], value: msgspec.Raw) -> tuple[list[Step], msgspec.Raw] | None:
        """What comes after these joins, with what value; None while others of a group are not done."""
        left, value = settled(steps, value)
        while left and isinstance(join := left[0], Join):
            collected = self._begun[group_queue(join.group)]
            collected.add(Result(join.index, value))
            if not collected.complete:
                return None
            del self._begun[group_queue(join.group)]
            left, value = settled(*collected.end())
        return left, value


def _run(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """In the calling thread; if a loop runs there, which cannot wait, in another one with the same context."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    future: Future[Outcome] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(asyncio.run, work))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="leveret-inline").start()
    return future.result()
