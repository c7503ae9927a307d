"""Tells a program's timetable, for those who do not have the program: the worker's half of tasks/timetables.

While this worker serves the schedules it tells when something was sent, once a second at most, and every TOLD_S. What goes wrong
is logged at debug level and forgotten: schedules are served all the same. Used by scheduler.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from leveret.client import BasicProperties, Connection, StandingChannel
from leveret.errors import LeveretError
from leveret.tasks.message import PERSISTENT
from leveret.tasks.schedules import Schedule
from leveret.tasks.timetables import ARGUMENTS, TOLD_S, Ran, Scheduled, Timetable, timetable, timetable_queue

log = logging.getLogger("leveret.worker")

GATHER_S: Final = 1.0
NEXT: Final = 5
LAST: Final = 10
PUBLISH_S: Final = 5.0


class Noticeboard:
    """Of `program`, whose `schedules` `worker` may come to serve; `now` is the scheduler's clock."""

    def __init__(
        self,
        connection: Connection,
        program: str,
        worker: str,
        schedules: Sequence[Schedule],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
        self._channel = StandingChannel(connection, confirms=True)
        self._program = program
        self._worker = worker
        self._schedules = schedules
        self._now = now
        self._last: dict[str, deque[Ran]] = {one.name: deque(maxlen=LAST) for one in schedules}
        self._inherited = False
        self._changed = asyncio.Event()
        self._serving = False

    def serve(self, serving: bool) -> None:
        """From now on it is this worker that tells, or another one."""
        if serving and not self._serving:
            self._inherited = False
            self._changed.set()
        self._serving = serving

    def sent(self, schedule: Schedule, id: str, due: datetime | None) -> None:
        self._last[schedule.name].appendleft(Ran(id, time.time(), None if due is None else due.timestamp()))
        self._changed.set()

    async def tend(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(TOLD_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            if not self._serving or self._connection.blocked:
                continue
            try:
                await self._tell()
            except LeveretError as error:
                log.debug("the timetable is not told just now: %s", error)
            await asyncio.sleep(GATHER_S)

    async def _tell(self) -> None:
        if not self._inherited:
            self._inherit(await timetable(self._connection, self._program))
            self._inherited = True
        queue = timetable_queue(self._program)
        channel = await self._channel.get()
        await channel.queue_declare(queue, durable=True, arguments=ARGUMENTS, remember=False)
        kept = BasicProperties(delivery_mode=PERSISTENT, content_type="application/json")
        await channel.publish(
            msgspec.json.encode(self._timetable()), routing_key=queue, properties=kept, timeout_s=PUBLISH_S
        )

    def _inherit(self, before: Timetable | None) -> None:
        """What was sent by the one who served before."""
        for told in before.schedules if before is not None else ():
            mine = self._last.get(told.name)
            if mine is not None:
                known = {ran.id for ran in mine}
                mine.extend([ran for ran in told.last if ran.id not in known][: LAST - len(mine)])

    def _timetable(self) -> Timetable:
        now = self._now()
        rows = [self._row(one, now) for one in self._schedules]
        return Timetable(self._program, self._worker, time.time(), rows)

    def _row(self, one: Schedule, now: datetime) -> Scheduled:
        return Scheduled(
            name=one.name,
            task=one.call.task.name,
            queue=one.call.queue,
            words=one.describe(),
            cron=one.cron,
            every_s=one.every.total_seconds(),
            zone=str(one.zone),
            jitter_s=one.jitter.total_seconds(),
            catch_up=one.catch_up,
            next=[due.astimezone(UTC).timestamp() for due in one.upcoming(now, NEXT)],
            last=list(self._last[one.name]),
        )
