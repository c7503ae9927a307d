"""Tasks that run where they are sent: at once, in the calling thread, without a broker.

In place of a WorkQueue's sender. What is sent is made as always, and its arguments are read back from the JSON, so that
what a worker could not read fails here too, and so do results. Used by harness.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from leveret.tasks import Failed, Message, Outcome, Parked, Progress, TaskContext, WorkQueue
from leveret.tasks.outbox import Parcel
from leveret.tasks.replies import Replies
from leveret.testing.watch import Watch, error_of
from leveret.worker.answers import answer_of
from leveret.worker.executor import Job, find, perform, perform_async


class InlineSender:
    """The verbs of tasks/sender. What a task raises comes out of `send`; nothing is tried again, and nothing waits."""

    def __init__(self, work: WorkQueue, watch: Watch) -> None:
        self._work = work
        self._watch = watch
        self._running: dict[str, TaskContext] = {}
        self.replies = Replies()
        """Nobody opens them: they are told."""

    def send(self, parcel: Parcel, timeout_s: float) -> None:
        message, job = self._job(parcel)
        if isinstance(job, Parked):
            outcome: Outcome = job
        else:
            with self._known(job):
                outcome = _run(perform_async(job)) if job.handler.is_async else perform(job)
        self._ended(message, outcome)

    async def send_async(self, parcel: Parcel, timeout_s: float) -> None:
        message, job = self._job(parcel)
        if isinstance(job, Parked):
            outcome: Outcome = job
        else:
            with self._known(job):  # in a task of its own, which can be cancelled
                outcome = await asyncio.create_task(perform_async(job)) if job.handler.is_async else perform(job)
        self._ended(message, outcome)

    def send_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        for parcel in parcels:
            self.send(parcel, timeout_s)
        return [None] * len(parcels)

    async def send_many_async(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        for parcel in parcels:
            await self.send_async(parcel, timeout_s)
        return [None] * len(parcels)

    def cancel(self, id: str, timeout_s: float) -> None:
        """A task can be told only while it runs: by itself, or by another thread."""
        context = self._running.get(id)
        if context is not None:
            context.cancel()

    async def cancel_async(self, id: str, timeout_s: float) -> None:
        self.cancel(id, timeout_s)

    def close(self) -> None:
        """There is nothing to close."""

    def _job(self, parcel: Parcel) -> tuple[Message, Job | Parked]:
        self._watch.begin()
        message = Message(parcel.queue, parcel.body, parcel.properties, attempt=1, redelivered=False)
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
        self.replies.tell(message.id, progress)

    def _ended(self, message: Message, outcome: Outcome) -> None:
        error = self._watch.ended(message, outcome)
        if error is None and isinstance(outcome, Failed):  # it asks for another try, which nobody makes here
            error = error_of(message, outcome, None)
        if error is not None:
            raise error
        answer = answer_of(message, outcome)
        if answer is not None:
            self.replies.tell(message.id, answer)


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
