"""What is known of workers, queues and tasks: events go in, and it is drawn from here. Pure: time is an argument.

A beat is the truth of its worker; events in between are ahead of it. Whoever joins late knows of everything that runs after
one beat. Of very many tasks events are made of some only: what the beats count besides makes the numbers right. Fed by
top/run and dashboard/hearing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from leveret.board.rate import Rate
from leveret.tasks.events import (
    AnyEvent,
    Beat,
    Cancelled,
    Ended,
    Failed,
    Parked,
    Progressed,
    Retried,
    Started,
    Succeeded,
    TaskEvent,
)

LOST_BEATS: Final = 4
"""A worker that was silent for so many beats is lost."""

BEAT_S_MAX: Final = 60.0
FORGOTTEN_S: Final = 60.0
"""After so much silence it is not shown any more."""

FAILURES_MAX: Final = 200
NAMES_MAX: Final = 1_000
"""Of what others may name at will so many are kept."""

Key = tuple[str, int]


@dataclass(slots=True)
class Running:
    """A task that runs, `since` on our clock; `done` is None until it says how far it is."""

    worker: str
    task: str
    id: str
    queue: str
    attempt: int
    since: float
    done: float | None = None
    total: float | None = None
    text: str = ""


@dataclass(slots=True)
class Worker:
    """`skew_s` is added to its clock to make ours."""

    beat: Beat
    heard: float
    skew_s: float
    running: dict[Key, Running] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.beat.host}:{self.beat.pid}"

    @property
    def busy(self) -> int:
        """Of more running tasks than it names the beat knows the number. What begins may be told before what ends."""
        unnamed = max(0, self.beat.busy - len(self.beat.running))
        return min(len(self.running) + unnamed, self.beat.slots)

    def lost(self, now: float) -> bool:
        return now - self.heard > LOST_BEATS * min(self.beat.every_s, BEAT_S_MAX)


@dataclass(slots=True)
class Queue:
    """`ready`, `dead` and `consumers` are None while nobody has told."""

    name: str
    done: Rate
    failed: Rate
    ready: int | None = None
    dead: int | None = None
    consumers: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    at: float
    task: str
    id: str
    queue: str
    attempt: int
    what: str
    error: str
    parked: bool


class Board:
    """`queues`: only these are shown, and who reads them; empty: all that workers read and events name."""

    def __init__(self, now: float, queues: Iterable[str] = ()) -> None:
        self.since = now
        self.workers: dict[str, Worker] = {}
        self.queues: dict[str, Queue] = {}
        self.failures: deque[Failure] = deque(maxlen=FAILURES_MAX)
        self.done, self.failed, self.retried, self.parked = (Rate(now) for _ in range(4))
        self.connected = True
        self._only = frozenset(queues)
        for name in queues:
            self._queue(name, now)

    # ---- what comes in

    def take(self, event: AnyEvent, now: float) -> None:
        if isinstance(event, Beat):
            self._beat(event, now)
        elif not self._only or event.queue in self._only:
            self._task(event, now)

    def count(self, queue: str, ready: int | None, consumers: int | None, dead: int | None) -> None:
        """As the broker tells; None: there is no such queue."""
        row = self.queues.get(queue)
        if row is not None:
            row.ready, row.consumers, row.dead = ready, consumers, dead

    def connection(self, connected: bool, now: float) -> None:
        """While we hear nothing nobody is silent."""
        if connected != self.connected:
            self.connected = connected
            for worker in self.workers.values():
                worker.heard = now

    def tick(self, now: float) -> None:
        """Time has passed: those who have been lost for long are forgotten."""
        if self.connected:
            for id, worker in list(self.workers.items()):
                if worker.lost(now) and now - worker.heard > FORGOTTEN_S:
                    del self.workers[id]

    def _beat(self, beat: Beat, now: float) -> None:
        if beat.worker in self.workers:  # the first that is heard is of what was before
            for ended in beat.ended:
                self._count(ended, now, min(beat.every_s, BEAT_S_MAX))
        if beat.state == "stopped":
            self.workers.pop(beat.worker, None)
            return
        if self._only and self._only.isdisjoint(beat.queues):
            return
        for name in beat.queues[:NAMES_MAX]:
            self._queue(name, now)
        skew_s = now - beat.time
        running = [
            Running(
                beat.worker, one.task, one.id, one.queue, one.attempt, one.since + skew_s, one.done, one.total, one.text
            )
            for one in beat.running[:NAMES_MAX]
            if not self._only or one.queue in self._only
        ]
        known = {(one.id, one.attempt): one for one in running}
        if beat.worker in self.workers or len(self.workers) < NAMES_MAX:
            self.workers[beat.worker] = Worker(beat, now, skew_s, known)

    def _task(self, event: TaskEvent, now: float) -> None:
        queue = self._queue(event.queue, now)
        worker = self.workers.get(event.worker)
        key = (event.id, event.attempt)
        if isinstance(event, Started):
            if worker is not None:
                worker.running[key] = _started(event, event.time + worker.skew_s)
            return
        if isinstance(event, Progressed):
            if worker is not None and key in worker.running:
                running = worker.running[key]
                running.done, running.total, running.text = event.done, event.total, event.text
            return
        if worker is not None:
            worker.running.pop(key, None)
        self._ended(event, queue, now)

    def _count(self, ended: Ended, now: float, over_s: float) -> None:
        """Those of which no event was made."""
        if self._only and ended.queue not in self._only:
            return
        untold = ended.untold
        self.done.add(now, untold.succeeded, over_s)
        self.failed.add(now, untold.failed, over_s)
        self.retried.add(now, untold.retried, over_s)
        self.parked.add(now, untold.parked, over_s)
        queue = self._queue(ended.queue, now)
        if queue is not None:
            queue.done.add(now, untold.succeeded, over_s)
            queue.failed.add(now, untold.failed, over_s)

    def _ended(self, event: TaskEvent, queue: Queue | None, now: float) -> None:
        if isinstance(event, Succeeded):
            self.done.add(now)
            if queue is not None:
                queue.done.add(now)
        elif isinstance(event, Failed):
            self.failed.add(now)
            if queue is not None:
                queue.failed.add(now)
        elif isinstance(event, Retried):
            self.retried.add(now)
            self._failure(event, f"again in {seconds(event.delay_s)}", event.exception, event.error, False, now)
        elif isinstance(event, Parked):
            self.parked.add(now)
            self._failure(event, f"parked: {event.reason}", event.exception, event.error, True, now)
        elif isinstance(event, Cancelled):
            self._failure(event, "cancelled", "", "", False, now)

    def _failure(self, event: TaskEvent, what: str, exception: str, error: str, parked: bool, now: float) -> None:
        text = f"{exception}: {error}" if exception else error
        self.failures.appendleft(Failure(now, event.task, event.id, event.queue, event.attempt, what, text, parked))

    def _queue(self, name: str, now: float) -> Queue | None:
        if name not in self.queues:
            if (self._only and name not in self._only) or len(self.queues) >= NAMES_MAX:
                return None
            self.queues[name] = Queue(name, Rate(now), Rate(now))
        return self.queues[name]

    # ---- what it comes to

    @property
    def slots(self) -> int:
        return sum(worker.beat.slots for worker in self.workers.values())

    @property
    def busy(self) -> int:
        return sum(worker.busy for worker in self.workers.values())

    def running(self) -> list[Running]:
        """All that runs, the oldest first."""
        return sorted(
            (one for worker in self.workers.values() for one in worker.running.values()), key=lambda one: one.since
        )


def _started(event: Started, since: float) -> Running:
    return Running(event.worker, event.task, event.id, event.queue, event.attempt, since)


def seconds(span_s: float) -> str:
    """Short, in the largest unit that fits: 0.4s, 12s, 3m05s, 2h10m, 4d03h."""
    if span_s < 9.95:
        return f"{max(0.0, span_s):.1f}s"
    whole = round(span_s)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    return f"{whole // 86400}d{whole // 3600 % 24:02}h"
