"""Timetables: what a program's workers send by themselves, and when, for those who do not have the program.

    leveret.schedules.PROGRAM    a queue of one message, the timetable, as whoever serves the schedules last told it
    leveret.scheduler.PROGRAM    where their batons are (worker/scheduler), and what the one who serves is asked to send now
    leveret.paused-schedule.…    a mark (tasks/marks) for each schedule that is paused: it is not sent when it is due, and
                                 what passes meanwhile is not made up for

Told by worker/noticeboard. Used by the command line and the dashboard.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from leveret.client import BasicProperties, Channel, Connection, Delivery
from leveret.errors import ChannelError, TaskError, Unroutable, WaitTimeout
from leveret.tasks import marks
from leveret.tasks.ladder import word
from leveret.tasks.pausing import AT, BY, BY_CHARACTERS_MAX
from leveret.tasks.topology import SCHEDULER

TIMETABLE: Final = "leveret.schedules."
PAUSED: Final = "leveret.paused-schedule."
SCHEDULE: Final = "x-leveret-schedule"
RUN: Final = "leveret.run"
"""`type` of a message that asks for a schedule's task to be sent now."""

DIRECT_REPLY: Final = "amq.rabbitmq.reply-to"
KEPT_MS: Final = 45 * 24 * 3600 * 1000
ARGUMENTS: Final[dict[str, Any]] = {
    "x-queue-type": "classic",
    "x-expires": KEPT_MS,
    "x-max-length": 1,
    "x-overflow": "drop-head",
}
TOLD_S: Final = 60.0
"""A timetable is told so often, at least: an older one is nobody's any more."""

NOT_FOUND: Final = 404
LOOKS: Final = 20
LOOK_AGAIN_S: Final = 0.05
"""While somebody else looks at it, it is not there."""


class Ran(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task `id` was sent `at`, for the time `due`, or because somebody said so (None)."""

    id: str
    at: float
    due: float | None = None


class Scheduled(msgspec.Struct, frozen=True, omit_defaults=True):
    """`words` tell when, in plain English; it is either `cron` or `every_s`. `next` times it is due, the `last` times it was
    sent, the latest first. `paused` is found out by whoever reads.
    """

    name: str
    task: str
    queue: str
    words: str
    cron: str = ""
    every_s: float = 0.0
    zone: str = "UTC"
    jitter_s: float = 0.0
    catch_up: str = "last"
    next: list[float] = []
    last: list[Ran] = []
    paused: bool = False


class Timetable(msgspec.Struct, frozen=True):
    """As `worker` (see events.Beat) told it `at`. Times are in seconds since 1970."""

    program: str
    worker: str
    at: float
    schedules: list[Scheduled]

    def served(self, now: float) -> bool:
        """Whether somebody does serve it, as far as can be told."""
        return now - self.at < 2 * TOLD_S


class RunNow(msgspec.Struct, frozen=True):
    """The body of a message of type RUN; its `message_id` becomes that of the task."""

    schedule: str


class RunAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Empty if it was sent, or why not."""

    error: str = ""


def timetable_queue(program: str) -> str:
    return TIMETABLE + word(program)


def mark_of(program: str, schedule: str) -> str:
    return marks.mark_of(PAUSED, f"{word(program)}.{word(schedule)}")


# ---- reading


def programs(names: Iterable[str]) -> list[str]:
    """Of the names of all queues: the programs that told a timetable."""
    return sorted(unquote(name.removeprefix(TIMETABLE)) for name in names if name.startswith(TIMETABLE))


async def timetables(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> list[Timetable]:
    """Of all programs; `rows` are those of a management API's `/api/queues`, of this virtual host."""
    found = [await timetable(connection, program) for program in programs(row["name"] for row in rows)]
    return [one for one in found if one is not None]


async def timetable(connection: Connection, program: str) -> Timetable | None:
    """None if none was told. Raises what the client raises."""
    async with await connection.channel() as channel:
        found = await _look(channel, timetable_queue(program))
    if found is None:
        return None
    asking = marks.Asking(connection)
    paused = [await asking.stands(mark_of(program, one.name)) for one in found.schedules]
    schedules = [msgspec.structs.replace(one, paused=is_so) for one, is_so in zip(found.schedules, paused, strict=True)]
    return msgspec.structs.replace(found, schedules=schedules)


async def _look(channel: Channel, queue: str) -> Timetable | None:
    try:
        for _ in range(LOOKS):
            seen = await _all_of(channel, queue)
            if seen:
                (latest, found), *older = sorted(seen, key=lambda one: one[1].at, reverse=True)
                for delivery, _ in older:  # came back from somebody who looked when another was told
                    delivery.ack()
                latest.nack(requeue=True)
                return found
            await asyncio.sleep(LOOK_AGAIN_S)
    except ChannelError as error:
        if error.code != NOT_FOUND:
            raise
    return None


async def _all_of(channel: Channel, queue: str) -> list[tuple[Delivery, Timetable]]:
    seen = []
    while (delivery := await channel.get(queue)) is not None:
        try:
            found = msgspec.json.decode(delivery.body, type=Timetable)
        except msgspec.DecodeError:  # of another version, or somebody else's: it is no use to anybody here
            delivery.ack()
        else:
            seen.append((delivery, found))
    return seen


# ---- orders


async def pause_schedule(connection: Connection, program: str, schedule: str, by: str = "") -> None:
    """Nothing is sent by it, whoever serves it, until it is resumed."""
    about = {SCHEDULE: schedule, BY: by[:BY_CHARACTERS_MAX], AT: int(time.time() * 1000)}
    await marks.put(connection, mark_of(program, schedule), about)


async def resume_schedule(connection: Connection, program: str, schedule: str) -> None:
    await marks.take_away(connection, mark_of(program, schedule))


async def run_schedule(connection: Connection, program: str, schedule: str, timeout_s: float = 10.0) -> str:
    """Have its task sent now, once, by the worker that serves it; the task's id. When it is next due does not change.

    TaskError if there is no such schedule, or its task is unique and another one has its key. WaitTimeout if no worker
    answered; what it was asked to send may be sent all the same, under an id of its own.
    """
    id = str(uuid.uuid4())
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def take(delivery: Delivery) -> None:
        if delivery.properties.correlation_id == id and not answered.done():
            answered.set_result(delivery.body)

    properties = BasicProperties(
        type=RUN,
        message_id=id,
        correlation_id=id,
        reply_to=DIRECT_REPLY,
        expiration=str(int(timeout_s * 1000)),
        content_type="application/json",
    )
    async with await connection.channel(confirms=True) as channel:
        await channel.consume(DIRECT_REPLY, take, no_ack=True)
        body = msgspec.json.encode(RunNow(schedule))
        try:
            await channel.publish(
                body, routing_key=SCHEDULER + program, properties=properties, mandatory=True, timeout_s=timeout_s
            )
        except Unroutable:
            raise TaskError(f"no worker of a program {program!r} with schedules was ever at this broker") from None
        try:
            async with asyncio.timeout(timeout_s):
                body = await answered
        except TimeoutError:
            raise WaitTimeout(
                f"no worker that serves the schedules of program {program!r} answered within {timeout_s:g} s"
            ) from None
    answer = msgspec.json.decode(body, type=RunAnswer)
    if answer.error:
        raise TaskError(answer.error)
    return id
