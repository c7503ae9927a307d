"""A call becomes a message: its properties and headers, and by which way it goes. No I/O. Used by workqueue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import msgspec

from leveret.errors import TaskError
from leveret.tasks.continuation import Step
from leveret.tasks.departure import NOTHING, Departure, Flow, depart, settled
from leveret.tasks.expiry import expires_ms
from leveret.tasks.lane import FAIR, Lane
from leveret.tasks.limits import Lock, key_of
from leveret.tasks.message import FAIR_KEY, LOCK, LOCK_MS, Message, properties_of
from leveret.tasks.middleware import Middleware, stamped
from leveret.tasks.outbox import Parcel
from leveret.tasks.schedules import Schedule
from leveret.tasks.task import Call
from leveret.tasks.topology import Queue
from leveret.tasks.workflows import Workflow


class Packing:
    """For a program of that name. `declared` tells how a queue is declared, `now` from when on tasks expire."""

    def __init__(
        self,
        name: str,
        middleware: Callable[[], Sequence[Middleware]],
        declared: Callable[[str], Queue],
        now: Callable[[], datetime],
    ) -> None:
        self._name = name
        self._middleware = middleware
        self._declared = declared
        self._now = now

    def parcel(self, call: Call[Any], id: str, reply_to: str | None) -> Parcel:
        """TaskError if it cannot be sent."""
        if call.priority is not None or call.partial:
            self.check(call)
        limits = call.task.settings.limits
        lock = _lock(call, call.delay_ms) if limits else None
        expires = 0
        if call.expires is not None:
            expires = expires_ms(call.expires, self._now() + timedelta(milliseconds=call.delay_ms))
        properties = properties_of(
            call.task.name,
            self._name,
            id=id,
            reply_to=reply_to,
            priority=call.priority,
            cancellable=call.cancellable or call.delay_ms > 0,
            expires_ms=expires,
            version=call.version,
            more=_marks(call, lock) if limits else {},
        )
        lane = None
        if limits.fair is not None and call.delay_ms <= 0:
            lane = Lane.of(call.queue, FAIR, str((properties.headers or {})[FAIR_KEY]), task=call.task.name)
        return self._stamped(Parcel(call.queue, call.body, properties, call.delay_ms, lane, lock))

    def scheduled(self, schedule: Schedule, due: datetime, id: str = "") -> Parcel:
        """The message for one due time; or, with an id of its own, for now."""
        call, late = schedule.call, timedelta() if id else schedule.late()
        self.check(call)
        delay_ms = ceil(late.total_seconds() * 1000)
        lock = _lock(call, delay_ms)
        properties = properties_of(
            call.task.name,
            self._name,
            id=id or schedule.id(due),
            priority=call.priority,
            once=True,
            expires_ms=expires_ms(call.expires, due + late),
            version=call.version,
            more=_marks(call, lock),
        )
        return self._stamped(Parcel(call.queue, call.body, properties, delay_ms, lock=lock))

    def departure(self, workflow: Workflow[Any], steps: Sequence[Step], id: str, reply_to: str) -> Departure:
        """What a workflow of these steps begins with. TaskError if it cannot."""
        if workflow.partial:
            raise TaskError(
                "nothing comes before the first task of this workflow: give it task.call(…), not task.partial(…)"
            )
        for call in workflow.calls():
            self.check_priority(call)
            _check_not_unique(call)
        left, value = settled(steps, NOTHING)
        return self._departure(Flow(id, self._name, reply_to), left, value, once=False)

    def following(self, message: Message, steps: Sequence[Step], value: msgspec.Raw, once: bool) -> Departure:
        """What the first of the steps that are left has to have sent, behind the task of `message`. See departure.depart."""
        return self._departure(Flow.of(message), steps, value, once, message)

    def _departure(
        self, flow: Flow, steps: Sequence[Step], value: msgspec.Raw, once: bool, after: Message | None = None
    ) -> Departure:
        departure = depart(flow, steps, value, once=once, now=self._now())
        departure.parcels = [self._stamped(parcel, after) for parcel in departure.parcels]
        return departure

    def _stamped(self, parcel: Parcel, after: Message | None = None) -> Parcel:
        """Every message that is made here goes through this, whoever sends it."""
        middleware = self._middleware()
        return stamped(parcel, middleware, after) if middleware else parcel

    def check(self, call: Call[Any]) -> None:
        """TaskError if it cannot be sent: its queue does not know its priority, or its first argument is to come."""
        if call.partial:
            raise TaskError(
                f"task {call.task.name!r}: a partial call is for a workflow, behind something that has a result"
            )
        self.check_priority(call)

    def check_priority(self, call: Call[Any]) -> None:
        """TaskError if its queue does not know its priority."""
        most = self._declared(call.queue).priorities
        if call.priority is not None and not 0 <= call.priority <= most:
            raise TaskError(
                f"task {call.task.name!r}: priority {call.priority}, but queue {call.queue!r} knows "
                + (f"0 to {most}" if most else f"none: say work.queue({call.queue!r}, priorities=10)")
            )


def _check_not_unique(call: Call[Any]) -> None:
    if call.task.settings.limits.unique is not None:
        raise TaskError(
            f"task {call.task.name!r} is unique, and stands in no workflow: that could not go on behind a task which was not "
            "sent; have one of its tasks send it"
        )


def _lock(call: Call[Any], delay_ms: int) -> Lock | None:
    unique, task = call.task.settings.limits.unique, call.task
    if unique is None:
        return None
    return unique.lock(task.name, key_of(unique.key, task.name, task.signature, call.body), delay_ms)


def _marks(call: Call[Any], lock: Lock | None) -> dict[str, object]:
    """Headers for its limits."""
    locked = {LOCK: lock.name, LOCK_MS: lock.kept_ms} if lock is not None and lock.until_done else {}
    return {**call.task.keys(call.body), **locked}
