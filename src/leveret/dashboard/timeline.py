"""Which task ran when, in which worker: bars, of the last minutes, as events tell. Pure; time is an argument.

A browser asks for what has changed since it last asked. Fed by hearing; read by pages/workers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from leveret.tasks.events import (
    AnyEvent,
    Beat,
    Cancelled,
    Failed,
    Parked,
    Progressed,
    Running,
    Started,
    Succeeded,
    TaskEvent,
    kind_of,
)

KEPT_S: Final = 600.0
BARS_MAX: Final = 30_000
TOLD_MAX: Final = 5_000
"""So many are told at once; whoever asks again is told the rest."""
TEXT_CHARACTERS_MAX: Final = 120

Key = tuple[str, str, str, int]
"""Virtual host, worker, id of the message, attempt."""


@dataclass(slots=True)
class Bar:
    """While it runs `to` is None and `state` "running"; then that is an event's kind, or "ended" if nobody told how."""

    vhost: str
    worker: str
    task: str
    id: str
    queue: str
    attempt: int
    since: float
    to: float | None = None
    state: str = "running"
    version: int = 0


class Worker:
    """`skew_s` is added to its clock to make ours."""

    def __init__(self) -> None:
        self.skew_s = 0.0
        self.running: set[Key] = set()


class Timeline:
    def __init__(self) -> None:
        self.version = 0
        self._running: dict[Key, Bar] = {}
        # In the order in which they changed last.
        self._ended: OrderedDict[Key, Bar] = OrderedDict()
        self._workers: dict[tuple[str, str], Worker] = {}

    # ---- what comes in

    def take(self, vhost: str, event: AnyEvent, now: float) -> None:
        if isinstance(event, Beat):
            self._beat(vhost, event, now)
            self._forget(now)
        elif not isinstance(event, Progressed):
            self._task(vhost, event, now)

    def _beat(self, vhost: str, beat: Beat, now: float) -> None:
        """It tells of what runs also where its beginning was not told; what it should name and does not has ended without a word."""
        worker = self._workers.setdefault((vhost, beat.worker), Worker())
        worker.skew_s = now - beat.time
        named = {(vhost, beat.worker, one.id, one.attempt): one for one in beat.running}
        if len(beat.running) >= beat.busy:  # it names all that it runs
            for key in [key for key in worker.running if key not in named]:
                if beat.state == "stopped" or self._running[key].since < now - beat.every_s:
                    self._end(key, now, "ended")
        for key, one in named.items():
            self._begin(key, one, one.since + worker.skew_s)
        if beat.state == "stopped":
            del self._workers[vhost, beat.worker]

    def _task(self, vhost: str, event: TaskEvent, now: float) -> None:
        key = (vhost, event.worker, event.id, event.attempt)
        worker = self._workers.setdefault(key[:2], Worker())
        at = min(now, event.time + worker.skew_s)
        if isinstance(event, Started):
            self._begin(key, event, at)
        elif isinstance(event, Succeeded | Failed | Cancelled | Parked):
            if event.took_s > 0:
                self._begin(key, event, at - event.took_s)
            self._end(key, at, kind_of(event))

    def _begin(self, key: Key, one: TaskEvent | Running, since: float) -> None:
        if key in self._running or key in self._ended or len(self._running) >= BARS_MAX:
            return
        vhost, worker, id, attempt = key
        self._workers[vhost, worker].running.add(key)
        task, queue = one.task[:TEXT_CHARACTERS_MAX], one.queue[:TEXT_CHARACTERS_MAX]
        bar = self._running[key] = Bar(vhost, worker, task, id[:TEXT_CHARACTERS_MAX], queue, attempt, since)
        self._changed(bar)

    def _end(self, key: Key, at: float, state: str) -> None:
        bar = self._running.pop(key, None)
        if bar is not None:
            self._workers[key[:2]].running.discard(key)
            bar.to, bar.state = max(at, bar.since), state
        elif state == "parked" and key in self._ended:  # that it failed was told before
            bar = self._ended.pop(key)
            bar.state = state
        else:
            return
        self._ended[key] = bar
        self._changed(bar)

    def _changed(self, bar: Bar) -> None:
        self.version += 1
        bar.version = self.version

    def _forget(self, now: float) -> None:
        while self._ended:
            key, bar = next(iter(self._ended.items()))
            if len(self._ended) <= BARS_MAX and bar.to is not None and bar.to > now - KEPT_S:
                return
            del self._ended[key]

    # ---- what it comes to

    def changes(self, since: int, vhosts: Collection[str]) -> dict[str, Any]:
        """The bars that changed after that version (0: all), the earliest change first; `version` is what to ask for next."""
        found = [bar for bar in self._after(since) if bar.vhost in vhosts]
        found.sort(key=_version)
        told = found[:TOLD_MAX]
        more = len(found) > TOLD_MAX
        return {
            "version": told[-1].version if more else self.version,
            "more": more,
            "bars": [
                [
                    *(bar.worker, bar.task, bar.id, bar.queue, bar.attempt),
                    *(round(bar.since, 3), None if bar.to is None else round(bar.to, 3), bar.state),
                ]
                for bar in told
            ],
        }

    def _after(self, version: int) -> Iterator[Bar]:
        yield from (bar for bar in self._running.values() if bar.version > version)
        for bar in reversed(self._ended.values()):
            if bar.version <= version:
                return
            yield bar


def _version(bar: Bar) -> int:
    return bar.version
