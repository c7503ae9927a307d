"""Schedules: what programs send by themselves, in plain words; run one now, pause it, go on with it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from leveret.dashboard.ask import Ask, Table
from leveret.dashboard.moving import connected
from leveret.dashboard.source import path
from leveret.tasks.timetables import (
    TIMETABLE,
    Timetable,
    pause_schedule,
    resume_schedule,
    run_schedule,
    timetables,
)

RUN_S: Final = 10.0

Row = dict[str, Any]


async def show(ask: Ask) -> Any:
    """Of all programs, in all virtual hosts that the user may see."""
    rows: list[Row] = []
    for vhost in sorted(await ask.vhosts()):
        queues = await ask.source.get(path("queues", vhost), {"columns": "name"})
        told = [row for row in queues if row["name"].startswith(TIMETABLE)]
        if told:
            async with await connected(ask.source.amqp_url(vhost)) as connection:
                for one in await timetables(connection, told):
                    rows += rows_of(one, vhost, ask.now)
    return {"items": rows}


def rows_of(timetable: Timetable, vhost: str, now: float) -> list[Row]:
    about = {"vhost": vhost, "program": timetable.program, "served": timetable.served(now), "told": timetable.at}
    return [
        {**msgspec.to_builtins(one), "paused": one.paused, "last": one.last, **about} for one in timetable.schedules
    ]


async def run(ask: Ask) -> Any:
    """The id of the task that was sent. TaskError (409): there is no such schedule; WaitTimeout (409): nobody serves it."""
    vhost, program, name = ask.names
    async with await connected(ask.source.amqp_url(vhost)) as connection:
        return {"id": await run_schedule(connection, program, name, RUN_S)}


async def pause(ask: Ask) -> Any:
    vhost, program, name = ask.names
    async with await connected(ask.source.amqp_url(vhost)) as connection:
        await pause_schedule(connection, program, name, ask.source.user)
    return {}


async def resume(ask: Ask) -> Any:
    vhost, program, name = ask.names
    async with await connected(ask.source.amqp_url(vhost)) as connection:
        await resume_schedule(connection, program, name)
    return {}


TABLE: Table = {
    "schedules": {"GET": show},
    "schedules/*/*/*/run": {"POST": run},
    "schedules/*/*/*/pause": {"POST": pause},
    "schedules/*/*/*/resume": {"POST": resume},
}
