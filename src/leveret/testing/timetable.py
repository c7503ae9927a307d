"""A program's schedules on the time of a test: what is due is sent, each due time once, as the worker that serves them would.

It needs no election, and no baton: there is one test. What passed while no worker ran (`travel`) is made up for as the schedule
says. Used by drain, through harness.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from math import ceil

from leveret.errors import Duplicate
from leveret.tasks import WorkQueue
from leveret.testing.place import Place

SEND_S = 30.0


class Timetable:
    def __init__(self, work: WorkQueue, place: Place) -> None:
        self._work = work
        self._place = place
        self._served: dict[str, datetime] = {}
        self.look()

    def look(self) -> None:
        """A schedule that was not there before begins now."""
        now = self._now()
        for name in self._work.schedules:
            self._served.setdefault(name, now)

    def send_due(self) -> None:
        """Raises what sending does."""
        self.look()
        now = self._now()
        for name, schedule in self._work.schedules.items():
            for due in schedule.due(self._served[name], now):
                with suppress(Duplicate):
                    self._work._sender.send(self._work.scheduled(schedule, due), SEND_S)
            self._served[name] = now

    def next_ms(self) -> int | None:
        """When the next schedule is due; None if there is none."""
        times = [schedule.next(self._served[name]) for name, schedule in self._work.schedules.items()]
        return ceil(min(times).timestamp() * 1000) if times else None

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._place.now_ms() / 1000, UTC)
