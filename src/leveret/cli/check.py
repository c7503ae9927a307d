"""`leveret check`: would the tasks that wait, and those that are scheduled, be understood by the code that is about to run?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from leveret.cli.looking import Format, Formatter, show
from leveret.cli.output import fail
from leveret.client import Connection, connect
from leveret.errors import ChannelError, LeveretError, TaskError
from leveret.tasks import Message, Parked, TaskContext, WorkQueue
from leveret.tasks.outcome import ARGUMENTS
from leveret.tasks.peek import Peek
from leveret.worker.executor import Job, decode, find
from leveret.worker.loading import load

NOT_FOUND: Final = 404


def check(
    app: Annotated[
        str, typer.Argument(metavar="MODULE[:NAME]", help="The program: a module or a file, and its WorkQueue.")
    ],
    limit: Annotated[
        int, typer.Option(min=1, help="Look at so many messages of each queue, the oldest first.")
    ] = 1_000,
    url: Annotated[
        str | None, typer.Option(help="The broker; default: the program's, then LEVERET_URL, then one of its own.")
    ] = None,
    formatter: Format = Formatter.table,
) -> None:
    """Name the waiting messages that this program would park: unknown tasks, arguments that do not fit. Run nothing.

    Messages under another name of a task (aliases), or made for an older version of it, are read as a worker would. A schedule whose
    task could not be sent, or not be read, is named too. Exit code 1 if there are any. Messages that are delayed, or with a
    worker just now, are not looked at.
    """
    try:
        work = load(app)
        connection_url = url or work.broker_url()
        for handler in (*work.tasks.values(), *work.consumers.values()):
            handler.check()
    except TaskError as error:
        fail(str(error))
    try:
        looked, rows = asyncio.run(look(work, connection_url, limit))
    except LeveretError as error:
        fail(str(error), 1)
    rows += misscheduled(work)
    if rows or formatter is not Formatter.table:
        show(rows, ["queue", "id", "task", "reason", "error"], formatter)
    schedules = f" and {len(work.schedules)} schedules" if work.schedules else ""
    typer.echo(f"{looked} messages{schedules} looked at, {len(rows)} would not run", err=True)
    if rows:
        raise typer.Exit(1)


async def look(work: WorkQueue, url: str, most: int) -> tuple[int, list[dict[str, Any]]]:
    """How many were looked at, and a row for each that would be parked."""
    looked, rows = 0, []
    connection = await connect(url, name="leveret check", reconnect=False)
    async with connection:
        async for queue, message in messages(connection, work.queues(), most):
            looked += 1
            parked = judged(work, message)
            if parked is not None:
                rows.append(
                    {
                        "queue": queue,
                        "id": message.id,
                        "task": message.task,
                        "reason": parked.reason,
                        "error": parked.failure.text.partition("\n")[0],
                    }
                )
    return looked, rows


async def messages(connection: Connection, queues: list[str], most: int) -> AsyncIterator[tuple[str, Message]]:
    """Of those queues that are there, and of the lanes that their tickets name."""
    for queue in queues:
        lanes: dict[str, None] = {}
        async for message in read(connection, queue, queue, most):
            if message.ticket:
                lanes[message.ticket] = None
            else:
                yield queue, message
        for lane in lanes:
            async for message in read(connection, lane, queue, most):
                yield queue, message


async def read(connection: Connection, name: str, home: str, most: int) -> AsyncIterator[Message]:
    """From the queue of that name, if it is there, those that belong to `home`."""
    async with Peek(connection) as peek:
        try:
            async for delivery in peek.read(name, most):
                yield Message.of(home, delivery)
        except ChannelError as error:
            if error.code != NOT_FOUND:
                raise


def judged(work: WorkQueue, message: Message) -> Parked | None:
    """As a worker would, without running it. What only came back too often is no fault of the code."""
    handler = find(work, message)
    if isinstance(handler, Parked):
        return handler
    outcome = decode(Job(TaskContext(message), handler))
    return outcome if isinstance(outcome, Parked) and outcome.reason == ARGUMENTS else None


def misscheduled(work: WorkQueue) -> list[dict[str, Any]]:
    """A row for each schedule that would send in vain: its queue knows no such priority, its task takes no such arguments."""
    rows = []
    for name, schedule in work.schedules.items():
        try:
            parcel = work.scheduled(schedule, schedule.next(datetime.now(UTC)))
            error = ""
        except TaskError as raised:
            error = str(raised)
        else:
            message = Message(parcel.queue, parcel.body, parcel.properties, attempt=1, redelivered=False)
            parked = judged(work, message)
            error = "" if parked is None else parked.failure.text.partition("\n")[0]
        if error:
            row = {"queue": schedule.call.queue, "id": f"schedule {name}", "task": schedule.call.task.name}
            rows.append(row | {"reason": "schedule", "error": error})
    return rows
