"""What an event or a notice makes of the row of its message. Pure rules; history/recorder writes what comes out.

What is heard comes kind by kind, from clocks that differ a little, and perhaps twice: the later word holds, and a message that has
ended runs again only if something later says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from leveret.history.rows import Notice, State
from leveret.history.words import name, short, traceback
from leveret.tasks.events import (
    Beat,
    Cancelled,
    Failed,
    Parked,
    Progressed,
    Retried,
    Running,
    Started,
    Succeeded,
    TaskEvent,
    kind_of,
)

CLOCK_S: Final = 1.0
"""A beat comes late by less than this; beyond it the worker's clock is wrong."""

CLOCKS_MAX: Final = 10_000


class Change(msgspec.Struct, array_like=True, kw_only=True):
    """Of one message, in the order of the statement that writes it. None: nothing is said of that."""

    vhost: str
    id: str
    queue: str | None = None
    task: str | None = None
    state: State | None = None
    attempts: int | None = None
    worker: str | None = None
    sent: float | None = None
    started: float | None = None
    ended: float | None = None
    changed: float
    took_s: float | None = None
    exception: str | None = None
    error: str | None = None
    reason: str | None = None
    argument: str | None = None
    life: str = ""
    traces: str = ""

    def then(self, later: Change) -> None:
        """Both at once; `later` is not the earlier of them."""
        if later.started is not None and self.started is not None:
            later.started = min(self.started, later.started)
        if later.state is None:
            later.ended = self.ended
        for field in MERGED:
            value = getattr(later, field)
            if value is not None:
                setattr(self, field, value)
        self.ended = later.ended
        self.life += later.life
        self.traces += later.traces


MERGED: Final = tuple(
    name for name in Change.__struct_fields__ if name not in ("vhost", "id", "ended", "life", "traces")
)


class Clocks:
    """By how much each worker's clock is to be set right: a beat tells."""

    def __init__(self) -> None:
        self._off_s: dict[str, float] = {}

    def hear(self, beat: Beat, now: float) -> None:
        off_s = now - beat.time
        if beat.state == "stopped" or abs(off_s) <= CLOCK_S:
            self._off_s.pop(beat.worker, None)
        elif len(self._off_s) < CLOCKS_MAX:
            self._off_s[beat.worker] = off_s

    def right(self, worker: str, time: float, now: float) -> float:
        """Nothing happens after it was heard of."""
        return min(time + self._off_s.get(worker, 0.0), now)


def of_event(event: TaskEvent, at: float, vhost: str) -> Change:
    change = Change(
        vhost=name(vhost),
        id=name(event.id),
        queue=name(event.queue),
        task=name(event.task),
        attempts=event.attempt,
        worker=name(event.worker),
        changed=at,
    )
    detail = ""
    if isinstance(event, Started):
        change.state, change.started, change.sent = "running", at, event.sent
        change.argument = short(event.argument) or None
        detail = f"attempt {event.attempt} by {name(event.worker)}"
    elif isinstance(event, Progressed):
        change.state = "running"
        return change  # beats and the live view tell of it; a life would be full of it
    elif isinstance(event, Succeeded):
        change.state, change.ended, change.took_s = "succeeded", at, event.took_s
        change.exception = change.error = change.reason = ""
        detail = event.result
    elif isinstance(event, Failed):
        change.took_s = event.took_s
        detail = _failed(change, event)
        if event.traceback:
            change.traces = line(at, traceback(event.traceback))
    elif isinstance(event, Retried):
        change.state = "waiting"
        _failed(change, event)
        detail = f"in {event.delay_s:.3g} s"
    elif isinstance(event, Parked):
        change.state, change.ended, change.took_s, change.reason = "parked", at, event.took_s, name(event.reason)
        error = _failed(change, event)
        detail = f"{change.reason}: {error}" if error else change.reason
    elif isinstance(event, Cancelled):
        change.state, change.ended, change.took_s = "cancelled", at, event.took_s
    change.life = entry(at, kind_of(event), detail)
    return change


def _failed(change: Change, event: Failed | Retried | Parked) -> str:
    change.exception, change.error = name(event.exception), short(event.error)
    return ": ".join(filter(None, (change.exception, change.error)))


def of_running(running: Running, beat: Beat, at: float, since: float, vhost: str) -> Change:
    """What a beat names, so that of a task whose beginning was not told it is known that it runs."""
    return Change(
        vhost=name(vhost),
        id=name(running.id),
        queue=name(running.queue),
        task=name(running.task),
        state="running",
        attempts=running.attempt,
        worker=name(beat.worker),
        started=since,
        changed=since,
    )


def newly_long(beat: Beat) -> Iterable[Running]:
    """Those which it did not have, or not for a whole beat, when the beat before was sent: each comes once."""
    return (one for one in beat.running if beat.every_s <= beat.time - one.since < 2 * beat.every_s)


def of_notice(notice: Notice) -> Iterable[Change]:
    detail = ", ".join(filter(None, (notice.why, notice.connection)))
    life = entry(notice.at, notice.what, f"{notice.queue}: {detail}")
    state = _state(notice)
    ended = None if state == "waiting" else notice.at
    for id in notice.ids:
        change = Change(vhost=name(notice.vhost), id=name(id), state=state, ended=ended, changed=notice.at, life=life)
        if state == "waiting":
            change.queue = name(notice.queue)
        else:
            change.reason = name(notice.why)
        yield change


def _state(notice: Notice) -> State:
    if notice.what == "requeued":
        return "waiting"
    if notice.why == "expired":
        return "expired"
    return "parked" if notice.what == "dead-lettered" else "dropped"


def merged(changes: Iterable[Change]) -> list[Change]:
    """One for each message; those without an id cannot be told apart, and are left out."""
    found: dict[tuple[str, str], Change] = {}
    for change in sorted(changes, key=_changed):
        if change.id:
            known = found.setdefault((change.vhost, change.id), change)
            if known is not change:
                known.then(change)
    return list(found.values())


def _changed(change: Change) -> float:
    return change.changed


def entry(at: float, what: str, detail: str) -> str:
    return line(at, what, short(detail))


def line(at: float, *texts: str) -> str:
    return msgspec.json.encode((round(at, 3), *texts)).decode() + "\n"
