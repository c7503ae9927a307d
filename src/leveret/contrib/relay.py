"""What every transactional outbox has in common: the row that a message is until it is sent, and the relay that sends it.

A relay takes rows, sends them, and deletes those that the broker has confirmed. The states after its death, at whatever
moment:

1. before the broker had confirmed: the rows are there, and are sent (again);
2. after that, before they were deleted: they are there, and are sent again, with the same message ids;
3. after that: they are gone, and the broker has them on disk.

Knows no database: contrib/sqlalchemy and contrib/django do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from leveret.client import Backoff
from leveret.errors import ConnectionLost, PartlySent, TaskError, WaitTimeout
from leveret.tasks import Call, WorkQueue
from leveret.tasks.expiry import expires_ms, time_of
from leveret.tasks.message import new_id

log = logging.getLogger("leveret.outbox")
T = TypeVar("T")

LIMIT: Final = 500
EVERY_S: Final = 1.0
"""How often a relay looks by itself: for what other processes, or other databases' sessions, have left there."""

LEASE_S: Final = 60.0
"""Where rows cannot be locked: how long a relay may take before another one takes it for dead."""

ABSENT: Final = (ConnectionLost, WaitTimeout)
"""What says nothing about a message, only that the broker was not there to take it."""

HELD_FIRST_S: Final = 1.0
HELD_MAX_S: Final = 300.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def with_id(call: Call[T]) -> Call[T]:
    """Its message has this id from now on, however often it is sent. TaskError if it is no single task, or asks for a result."""
    if not isinstance(call, Call):
        raise TaskError(
            f"{call} is no task.call(…): an outbox takes single tasks, for the messages that a workflow begins with are no one row; "
            "have one of your tasks send the workflow"
        )
    if call.result:
        raise TaskError(
            f"task {call.task.name!r} is sent with result=True, but a relay sends it for you, and it would be the relay that "
            "gets the result: say task.options(result=False).call(…), and have the task write its result down"
        )
    return call if call.id else replace(call, id=new_id())


@dataclass(frozen=True, slots=True)
class Row:
    """A message in the table. `call` is a Stored as JSON, `due_ms` when it is to be there (0: at once)."""

    number: int
    call: bytes
    due_ms: int
    tries: int


class Stored(msgspec.Struct, omit_defaults=True):
    """A Call as its row has it: everything but the delay, which is a time there. Rows outlive releases: add, never change."""

    task: str
    queue: str
    body: bytes
    id: str
    priority: int | None = None
    cancellable: bool = False
    expires_ms: int = 0
    version: int = 1


def written(call: Call[Any], now: int) -> bytes:
    """What is delayed can be cancelled, also if nothing is left of its delay when it is sent."""
    cancellable = call.cancellable or call.delay_ms > 0
    due = datetime.fromtimestamp((now + call.delay_ms) / 1000, UTC)
    stored = Stored(call.task.name, call.queue, call.body, call.id, call.priority, cancellable)
    stored.expires_ms, stored.version = expires_ms(call.expires, due), call.version
    return msgspec.json.encode(stored)


def due_ms(call: Call[Any], now: int) -> int:
    return now + call.delay_ms if call.delay_ms > 0 else 0


def read(work: WorkQueue, row: Row, now: int) -> Call[Any]:
    """msgspec.MsgspecError if it is no Stored, TaskError if this program cannot send it."""
    stored = msgspec.json.decode(row.call, type=Stored)
    task = work.tasks.get(stored.task)
    if task is None:
        raise TaskError(f"this program has no task {stored.task!r}: the relay's has to be the one that wrote the row")
    delay_ms = max(0, row.due_ms - now) if row.due_ms else 0
    call = Call(
        task,
        stored.queue,
        stored.body,
        delay_ms,
        stored.priority,
        cancellable=stored.cancellable,
        id=stored.id,
        expires=time_of(stored.expires_ms),
        version=stored.version,
    )
    work.check(call)
    return call


@dataclass(slots=True)
class Result:
    """By number of row: those that the broker has, and those that it will not have, with how long they are left alone."""

    sent: list[int] = field(default_factory=list)
    refused: dict[int, float] = field(default_factory=dict)
    failure: Exception | None = None
    """Why the others were not sent: the broker was not there."""

    def refuse(self, row: Row, reason: Exception) -> None:
        log.error("row %d of the outbox cannot be sent: %s", row.number, reason)
        self.refused[row.number] = min(HELD_MAX_S, HELD_FIRST_S * float(2 ** min(row.tries, 30)))


def publish(work: WorkQueue, rows: Sequence[Row], now: int) -> Result:
    """Send them in their order and wait for all confirms. Never raises for what another try may mend."""
    result = Result()
    calls: list[tuple[Row, Call[Any]]] = []
    for row in rows:
        try:
            calls.append((row, read(work, row, now)))
        except (msgspec.MsgspecError, TaskError) as error:
            result.refuse(row, error)
    errors: dict[int, Exception] = {}
    try:
        work.send_many([call for _, call in calls])
    except PartlySent as error:
        errors = error.errors
    except ABSENT as error:
        result.failure = error
        return result
    for place, (row, _) in enumerate(calls):
        reason = errors.get(place)
        if reason is None:
            result.sent.append(row.number)
        elif isinstance(reason, ABSENT):
            result.failure = reason
        else:
            result.refuse(row, reason)
    return result


class Bell:
    """Wakes relays of this process: when it was rung there is something to do. Each relay hears each ring."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        return self._rings

    def ring(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Until it was rung since it was heard so often."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings != heard, timeout_s)


def relay(
    once: Callable[[], int], failures: tuple[type[Exception], ...], stop: threading.Event, bell: Bell, every_s: float
) -> None:
    """Call `once` (how many were sent) until `stop` is set: again at once if there was something, else at the bell.

    What it raises of `failures` is logged, and it is tried again after growing pauses.
    """
    backoff, attempt = Backoff(), 0
    while not stop.is_set():
        heard = bell.rings
        try:
            count = once()
        except failures as error:
            log.error("the outbox is not relayed just now: %s", error)
            stop.wait(backoff.delay_s(attempt))
            attempt += 1
        else:
            attempt = 0
            if not count:
                bell.wait(heard, every_s)
