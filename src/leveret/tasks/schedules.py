"""When a task is due again and again: by a cron expression in a time zone, or at even intervals.

    @work.schedule("0 3 * * *", tz="Europe/Berlin")
    @work.task
    def clean_up() -> None: ...

Pure: which times are due is asked with the time as an argument. Calendars and time zones are loaded when something is scheduled
by them. Made by WorkQueue.schedule, kept by worker/scheduler.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from leveret.errors import TaskError
from leveret.tasks.task import Call

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

CatchUp = Literal["last", "all", "none"]

FRESH: Final = timedelta(seconds=60)
"""What was due so long ago is not late yet."""

CAUGHT_UP_MAX: Final = 1000
EPOCH: Final = datetime(2000, 1, 3, tzinfo=UTC)
"""A Monday: intervals are counted from it, so that all workers come to the same times, whenever they were started."""

NAMESPACE: Final = uuid.UUID("5f2d4f0a-6f0a-4b43-9c1e-1d8f5a1f0c5e")


class Schedule(msgspec.Struct, frozen=True):
    """`name` tells it from the others. `call` is what is sent when it is due, up to `jitter` later.

    `catch_up`: what becomes of the times that passed while no worker ran. `last`: the latest of them is made up for, `all`:
    each (the latest thousand), `none`: none.
    """

    name: str
    call: Call[Any]
    cron: str = ""
    zone: tzinfo = UTC
    every: timedelta = timedelta()
    jitter: timedelta = timedelta()
    catch_up: CatchUp = "last"

    def __post_init__(self) -> None:
        if bool(self.cron) == bool(self.every):
            raise TaskError(f"schedule {self.name!r}: say either a cron expression or every=, a time above 0")
        if self.every and self.every < timedelta(seconds=0.1):
            raise TaskError(f"schedule {self.name!r}: every={self.every} is less than a tenth of a second")
        if self.catch_up not in ("last", "all", "none"):
            raise TaskError(f"schedule {self.name!r}: catch_up={self.catch_up!r}, expected 'last', 'all' or 'none'")
        if self.cron:
            self._check_cron()

    def _check_cron(self) -> None:
        from cronsim import CronSimError

        try:
            next(self.after(datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            raise TaskError(f"schedule {self.name!r}: {self.cron!r} is no cron expression: {error}") from None

    def after(self, time: datetime) -> Iterator[datetime]:
        """The due times behind `time`, in UTC. Of a time that a clock set back shows twice the first is meant; one that it
        leaves out is made up for right after the gap, as cron does.
        """
        if self.cron:
            from cronsim import CronSim

            yield from (due.astimezone(UTC) for due in CronSim(self.cron, time.astimezone(self.zone)))
            return
        number = (time - EPOCH) // self.every
        while True:
            number += 1
            yield EPOCH + number * self.every

    def due(self, last: datetime, now: datetime) -> list[datetime]:
        """The times in (`last`, `now`] for which it is sent, by `catch_up`; the earliest first."""
        times: list[datetime] = []
        for due in self.after(last):
            if due > now:
                break
            times.append(due)
            if len(times) > CAUGHT_UP_MAX:
                del times[0]
        fresh = [due for due in times if now - due <= FRESH]
        if self.catch_up == "all":
            return times
        return fresh or (times[-1:] if self.catch_up == "last" else [])

    def next(self, now: datetime) -> datetime:
        return next(self.after(now))

    def id(self, due: datetime) -> str:
        """Of the message for that time, whoever sends it."""
        return str(uuid.uuid5(NAMESPACE, f"{self.name} {due.isoformat()}"))

    def late(self, fraction: Callable[[], float] = random.random) -> timedelta:
        return self.jitter * fraction()

    def describe(self) -> str:
        """In plain words."""
        if self.every:
            return f"every {self.every}"
        from cronsim import CronSim

        return f"{CronSim(self.cron, datetime.now(self.zone)).explain()} ({self.zone})"

    def upcoming(self, now: datetime, count: int) -> list[datetime]:
        return list(islice(self.after(now), count))


def zone(name: str) -> ZoneInfo:
    """TaskError if this machine knows no such time zone."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise TaskError(f"tz={name!r} is no time zone: {error}") from None
