"""`leveret schedules`: what programs send by themselves, as they are written or as their workers tell; send it now, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from leveret.cli.looking import Format, Formatter, fetch, show
from leveret.cli.looking import Url as Management
from leveret.cli.orders import over, who
from leveret.cli.output import fail
from leveret.cli.reaching import Url, url_of
from leveret.client import Connection
from leveret.client.url import parse_url
from leveret.errors import TaskError
from leveret.tasks.timetables import (
    Scheduled,
    Timetable,
    pause_schedule,
    programs,
    resume_schedule,
    run_schedule,
    timetable,
)
from leveret.worker.loading import load

COLUMNS = ["program", "name", "task", "queue", "when", "next", "last", "state"]


def schedules(
    app: Annotated[
        str, typer.Argument(metavar="[MODULE[:NAME]]", help="The program; without one: what workers tell of all.")
    ] = "",
    count: Annotated[
        int, typer.Option(min=1, max=1000, help="How many of the next times (of what workers tell, 5).")
    ] = 3,
    run: Annotated[str, typer.Option(metavar="NAME", help="Have this one's task sent now, besides.")] = "",
    pause: Annotated[str, typer.Option(metavar="NAME", help="Send nothing by this one until it is resumed.")] = "",
    resume: Annotated[
        str, typer.Option(metavar="NAME", help="Go on with this one; what passed is not made up for.")
    ] = "",
    program: Annotated[
        str, typer.Option(metavar="PROGRAM", help="Whose: the name of its WorkQueue, if that has one.")
    ] = "leveret",
    url: Url = None,
    management: Management = None,
    formatter: Format = Formatter.table,
) -> None:
    """What a program sends again and again: in plain words, and when next. Or an order about one of them."""
    if sum(map(bool, (app, run, pause, resume))) > 1:
        fail("one at a time: a program, --run, --pause or --resume")
    if run:
        typer.echo(f"sent: {over(url, lambda connection: run_schedule(connection, program, run))}")
    elif pause:
        over(url, lambda connection: pause_schedule(connection, program, pause, who()))
        typer.echo(f"paused: {pause}")
    elif resume:
        over(url, lambda connection: resume_schedule(connection, program, resume))
        typer.echo(f"resumed: {resume}")
    elif app:
        show_program(app, count, formatter)
    else:
        show_told(url, management, count, formatter)


def show_program(app: str, count: int, formatter: Formatter) -> None:
    try:
        known = load(app).schedules.values()
    except TaskError as error:
        fail(str(error))
    now = datetime.now(UTC)
    rows = [
        {
            "name": one.name,
            "task": one.call.task.name,
            "queue": one.call.queue,
            "when": one.describe(),
            "next": ", ".join(
                due.astimezone(one.zone).isoformat(timespec="seconds") for due in one.upcoming(now, count)
            ),
        }
        for one in known
    ]
    show(rows, ["name", "task", "queue", "when", "next"], formatter)


def show_told(url: str | None, management: str | None, count: int, formatter: Formatter) -> None:
    found = url_of(url)
    vhost = parse_url(found).vhost
    names = [row["name"] for row in fetch(management, "/api/queues") if row.get("vhost", vhost) == vhost]

    async def read(connection: Connection) -> list[Timetable]:
        told = [await timetable(connection, program) for program in programs(names)]
        return [one for one in told if one is not None]

    now = datetime.now(UTC).timestamp()
    show([told_row(one, row, now, count) for one in over(found, read) for row in one.schedules], COLUMNS, formatter)


def told_row(told: Timetable, row: Scheduled, now: float, count: int) -> dict[str, Any]:
    return {
        "program": told.program,
        "name": row.name,
        "task": row.task,
        "queue": row.queue,
        "when": row.words,
        "next": ", ".join([written(due, row.zone) for due in row.next if due > now][:count]),
        "last": written(row.last[0].at, row.zone) if row.last else "",
        "state": "paused" if row.paused else "" if told.served(now) else "no worker serves it",
    }


def written(at: float, zone: str) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(timespec="seconds")
