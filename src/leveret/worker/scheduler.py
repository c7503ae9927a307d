"""Sends scheduled tasks when they are due: exactly one of all workers does, and another within seconds if that one dies.

The queue `leveret.scheduler.NAME` hands its messages to a single active consumer. They are batons: each says until when every
schedule was served. Who holds one is the scheduler. It puts a new baton into the queue, confirmed, before it lets go of the
old one, so that there is always one; of several the latest counts. Each worker adds an empty one when it starts.

A crash after a task was sent and before the new baton is confirmed sends it again, under the same id: `claims` says how
the second one is found out. Into the same queue comes what the scheduler is asked to send at once (tasks/timetables). A
schedule that is paused has a mark, which is asked for when it is due. Used by worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from leveret.client import Backoff, BasicProperties, Channel, Connection, Delivery
from leveret.errors import CodecError, Duplicate, LeveretError
from leveret.tasks.locks import Locks
from leveret.tasks.marks import Asking
from leveret.tasks.message import PERSISTENT, new_id
from leveret.tasks.outbox import Outbox, Parcel
from leveret.tasks.schedules import Schedule
from leveret.tasks.timetables import RUN, RunAnswer, RunNow, mark_of
from leveret.tasks.topology import SCHEDULER
from leveret.worker.noticeboard import Noticeboard

log = logging.getLogger("leveret.worker")

SEND_S: Final = 30.0
ANSWER_S: Final = 5.0
AHEAD_S: Final = 60.0
"""The longest sleep: a clock may be set meanwhile."""

Served = dict[str, datetime]
"""By the name of a schedule: until when it was served."""

MakeParcel = Callable[[Schedule, datetime, str], Parcel]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Scheduler:
    """`parcel` makes the message of a schedule for a due time, with an id of its own if one is given. `board` tells others."""

    def __init__(
        self,
        name: str,
        schedules: Sequence[Schedule],
        connection: Connection,
        outbox: Outbox,
        locks: Locks,
        parcel: MakeParcel,
        board: Noticeboard,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._name: Final = name
        self._queue: Final = SCHEDULER + name
        self._schedules = schedules
        self._connection = connection
        self._outbox = outbox
        self._locks = locks
        self._parcel = parcel
        self._board = board
        self._now = now
        self._marks = Asking(connection)
        self._batons: list[Delivery] = []
        self._asked: list[Delivery] = []
        self._served: Served = {}
        self._got = asyncio.Event()
        self._channel: Channel | None = None
        self._error: Exception | None = None

    async def tend(self) -> None:
        """Wait to be the one, and be it; until cancelled."""
        telling = asyncio.create_task(self._board.tend())
        try:
            await self._tend()
        finally:
            telling.cancel()

    async def _tend(self) -> None:
        backoff, attempt = Backoff(), 0
        while True:
            try:
                await self._stand_by()
                attempt = 0
                await self._serve()
            except LeveretError as error:
                log.error("schedules are not served by this worker just now: %s", error)
            await backoff.wait(attempt)
            attempt += 1

    async def close(self) -> None:
        """Once `tend` has been cancelled: the baton goes to another worker."""
        self._board.serve(False)
        if self._channel is not None:
            with suppress(LeveretError):
                await self._channel.close()

    async def _stand_by(self) -> None:
        if self._channel is not None:
            await self._channel.close()  # whatever it held is in the queue again
        self._batons.clear()
        self._asked.clear()
        self._board.serve(False)
        self._got.clear()
        self._error = None
        await self._pass_on({})
        self._channel = await self._connection.channel()
        await self._channel.consume(self._queue, self._take, on_close=self._closed)

    def _take(self, delivery: Delivery) -> None:
        (self._asked if _type(delivery) == RUN else self._batons).append(delivery)
        self._got.set()

    def _closed(self, error: Exception) -> None:
        self._error = error
        self._got.set()

    async def _serve(self) -> None:
        """Over lost connections too: the broker has the batons back then, and gives them to somebody, perhaps to us again."""
        serving = False
        while True:
            await self._got.wait()
            self._got.clear()
            if self._error is not None:
                raise self._error
            self._batons = [baton for baton in self._batons if not baton.lost]
            if self._batons and not serving:
                log.info("this worker serves the schedules: %s", ", ".join(one.name for one in self._schedules))
            serving = bool(self._batons)
            self._board.serve(serving)
            self._served = self._latest()
            while self._held():
                await self._send_asked()
                await self._send_due()
                await self._keep_one()
                if await self._interrupted():
                    break

    def _held(self) -> bool:
        return any(not baton.lost for baton in self._batons)

    def _latest(self) -> Served:
        """What all batons say together. A schedule that none of them knows begins now."""
        served: Served = {}
        for baton in self._batons:
            for name, until in _read(baton.body).items():
                served[name] = max(until, served.get(name, until))
        now = self._now()
        return {schedule.name: served.get(schedule.name, now) for schedule in self._schedules} | served

    async def _send_due(self) -> None:
        """Raises what Outbox.put does: then the times that were not served are left to whoever has the baton next."""
        now = self._now()
        for schedule in self._schedules:
            times = schedule.due(self._served[schedule.name], now)
            if times and await self._marks.stands(mark_of(self._name, schedule.name)):
                log.info("schedule %s is paused, and not sent", schedule.name)
                self._served[schedule.name] = now
                continue
            for due in times:
                log.info("schedule %s is due, of %s", schedule.name, due.isoformat())
                parcel = self._parcel(schedule, due, "")
                if await self._send(parcel) is None:
                    self._board.sent(schedule, parcel.properties.message_id or "", due)
                self._served[schedule.name] = due
            if schedule.next(self._served[schedule.name]) <= now:  # what passed is not made up for
                self._served[schedule.name] = now

    async def _send_asked(self) -> None:
        """What came before this crashed was perhaps sent: it has the same id now, by which a second copy is found out."""
        asked, self._asked = self._asked, []
        for one in asked:
            if not one.lost:
                await self._answer(one, await self._run(one))
                one.ack()

    async def _run(self, asked: Delivery) -> RunAnswer:
        try:
            name = msgspec.json.decode(asked.body, type=RunNow).schedule
        except msgspec.DecodeError as error:
            return RunAnswer(f"this cannot be read: {error}")
        schedule = next((one for one in self._schedules if one.name == name), None)
        if schedule is None:
            known = ", ".join(one.name for one in self._schedules)
            return RunAnswer(f"program {self._name!r} has no schedule {name!r}; it has: {known}")
        id = asked.properties.message_id or new_id()
        log.info("schedule %s is sent now, as somebody asked for", name)
        duplicate = await self._send(self._parcel(schedule, self._now(), id))
        if duplicate is not None:
            return RunAnswer(str(duplicate))
        self._board.sent(schedule, id, None)
        return RunAnswer()

    async def _answer(self, asked: Delivery, answer: RunAnswer) -> None:
        """Whoever asked may be gone."""
        to, properties = asked.properties.reply_to, BasicProperties(correlation_id=asked.properties.correlation_id)
        if to is not None and self._channel is not None:
            body = msgspec.json.encode(answer)
            with suppress(LeveretError):
                await self._channel.publish(body, routing_key=to, properties=properties, timeout_s=ANSWER_S)

    async def _send(self, parcel: Parcel) -> Duplicate | None:
        """Unless it is unique, and another one has its key. Sent once more after a crash it has its lock still, for it has its id."""
        try:
            if parcel.lock is not None:
                await self._locks.take(parcel.lock, parcel.properties.message_id or "")
        except Duplicate as error:
            log.info("task=%s is not sent, for id=%s has its key", parcel.properties.type, error.id)
            return error
        await self._outbox.put(parcel, SEND_S)
        return None

    async def _keep_one(self) -> None:
        """A new baton if there is something to say, then the old ones let go. It comes to us, for it is we who consume."""
        if len(self._batons) == 1 and _read(self._batons[0].body) == self._served:
            return
        old, self._batons = self._batons, []
        await self._pass_on(self._served)
        for baton in old:
            baton.ack()

    async def _interrupted(self) -> bool:
        """True if batons came before the next schedule is due."""
        if not self._held():
            return True
        now = self._now()
        until = min(schedule.next(self._served[schedule.name]) for schedule in self._schedules)
        try:
            async with asyncio.timeout(min(AHEAD_S, max(0.0, (until - now).total_seconds()))):
                await self._got.wait()
        except TimeoutError:
            return False
        return True

    async def _pass_on(self, served: Served) -> None:
        kept = BasicProperties(delivery_mode=PERSISTENT, content_type="application/json")
        await self._outbox.put(Parcel(self._queue, msgspec.json.encode(served), kept), SEND_S)


def _type(delivery: Delivery) -> str | None:
    try:
        return delivery.properties.type
    except CodecError:
        return None


def _read(body: bytes) -> Served:
    try:
        return msgspec.json.decode(body, type=Served)
    except msgspec.DecodeError as error:
        log.error("a message in the scheduler's queue cannot be read, and is dropped: %s", error)
        return {}
