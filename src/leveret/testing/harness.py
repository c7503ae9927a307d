"""A program's WorkQueue in a test: what was sent can be looked at and worked off, time can pass, workers can die.

    with harness(work) as work_queue:
        remind.options(delay=timedelta(days=3)).send(7)
        work_queue.assert_enqueued(remind, 7)
        work_queue.drain(until=timedelta(days=3))

The pytest fixture `work_queue` is one of these (testing/plugin); docs/testing.md shows how to use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, cast

from leveret.errors import TaskError
from leveret.tasks import Handler, Task, WorkQueue
from leveret.tasks.retries import seconds
from leveret.tasks.sender import Sender
from leveret.testing.drain import Drain
from leveret.testing.embedded import Embedded
from leveret.testing.foreign import NAME, Foreign
from leveret.testing.inline import InlineSender
from leveret.testing.looking import Enqueued, described, enqueued, same_call
from leveret.testing.place import Place
from leveret.testing.timetable import Timetable
from leveret.testing.watch import Run, Watch

Span = float | timedelta
"""Seconds, or a timedelta."""


@contextmanager
def harness(work: WorkQueue) -> Iterator[Harness]:
    """Connect `work` to an empty broker of its own, in this process, until the end; or to that of LEVERET_TEST_URL."""
    url = os.environ.get(NAME)
    place: Place = Foreign(url) if url else Embedded()
    try:
        one = Harness(work, place)
        try:
            yield one
        finally:
            one.close()
        one.check()
    finally:
        place.close()


class Harness:
    """Made by `harness`. `place` is the broker."""

    def __init__(self, work: WorkQueue, place: Place) -> None:
        self.work = work
        self.place = place
        self._watch = Watch(work)
        self._url = work.url
        work.close()
        work.url = place.url
        self._clock, work.now = work.now, lambda: self.now
        place.empty(work.queues())
        self._timetable = Timetable(work, place)

    def close(self) -> None:
        self._watch.end()
        self.work.close()
        self.place.empty(self.work.queues())
        self.work.url = self._url
        self.work.now = self._clock

    def check(self) -> None:
        """AssertionError if a death was asked for that never came: the test did not test what it seems to."""
        if self._watch.doomed:
            raise AssertionError(f"kill_during({self._watch.doomed[0]}): it did not run to its end after that")

    # ---- time

    @property
    def now(self) -> datetime:
        """The broker's time. It stands still but for `travel` and `drain(until=…)`; that of the program is its own."""
        return datetime.fromtimestamp(self.place.now_ms() / 1000, UTC)

    def travel(self, span: Span) -> None:
        """Let time pass without a worker: what is due by then is ready afterwards."""
        self._timetable.look()
        self.place.advance(self._then_ms(span), ())

    def _then_ms(self, span: Span) -> int:
        return self.place.now_ms() + ceil(seconds(span) * 1000)

    # ---- running

    def drain(
        self,
        until: Span = 0,
        *,
        raises: bool = True,
        threads: int = 1,
        timeout_s: float = 30.0,
        schedules: bool = True,
    ) -> list[Run]:
        """Run a worker until nothing is ready and nothing runs; what ran, in the order of its ends.

        `until`: let that much time pass besides, each delayed task, each retry and each schedule's task running when it is
        due (`schedules=False`: what is scheduled is not sent, and not made up for later than its schedule says). A task that fails ends this at once with its own exception (`raises=False`: it takes its course, to the retries and the dead
        letters). `threads`: so many at a time. WaitTimeout if it takes longer than `timeout_s` of real time.
        """
        self._watch.begin()
        before = len(self._watch.runs)
        timetable = self._timetable if schedules else None
        drain = Drain(
            self.work, self.place, self._watch, timetable, raises=raises, threads=threads, timeout_s=timeout_s
        )
        drain.run(self._then_ms(until))
        return self._watch.runs[before:]

    @contextmanager
    def inline(self) -> Iterator[None]:
        """Meanwhile `send` runs the task at once, in the calling thread, and raises what it raises; delays are passed over.

        Arguments go through JSON as always. Nothing is tried again.
        """
        sender = self.work._sender
        self.work.providers.enter()
        self.work._sender = cast(Sender, InlineSender(self.work, self._watch))
        try:
            yield
        finally:
            self.work._sender = sender
            self.work.providers.leave()

    # ---- deaths

    def kill_during(self, task: Handler[..., Any] | str) -> None:
        """The next time that the task has run to its end, its worker dies before it can say so: it runs again.

        As by kill -9: everything the worker had goes back to its queue, marked redelivered. That is the moment at which a
        task that must not do its work twice shows whether it does. For another moment see `die`.
        """
        self._watch.doomed.append(_name(self.work, task))

    def die(self) -> None:
        """Called in a task, by something that the test put in: its worker dies here. Does not return."""
        self._watch.die()

    # ---- looking

    def enqueued(self, task: Handler[..., Any] | str | None = None) -> list[Enqueued]:
        """What waits, of that task: what is ready, by queue and in its order, then what is to come, the next first."""
        name = None if task is None else _name(self.work, task)
        found = [enqueued(self.work, waiting) for waiting in self.place.waiting(self.work.queues())]
        return [one for one in found if name in (None, one.task)]

    def assert_enqueued(self, task: Task[..., Any, Any] | str, /, *args: Any, **kwargs: Any) -> Enqueued:
        """A message that calls the task so, ready or to come, is there: the first such. Without arguments: with any."""
        known = self.work.tasks.get(_name(self.work, task))
        if known is None:
            raise TaskError(f"{task!r} is no task of this program")
        there = self.enqueued()
        for one in there:
            if one.task == known.name and (not (args or kwargs) or same_call(known, one, args, kwargs)):
                return one
        wanted = described(known.name, args, kwargs) if args or kwargs else known.name
        raise AssertionError(f"no message calls {wanted}. " + _listed(there))


def _listed(there: list[Enqueued]) -> str:
    return "There are:" + "".join(f"\n  {one}" for one in there) if there else "Nothing is enqueued."


def _name(work: WorkQueue, task: Handler[..., Any] | str) -> str:
    """TaskError if the program has no such task: a wrong name would never be noticed."""
    name = task if isinstance(task, str) else task.name
    if name not in work.tasks and name not in [consumer.name for consumer in work.consumers.values()]:
        raise TaskError(f"this program has no task {name!r}; it has {', '.join(work.tasks) or 'none'}")
    return name
