"""`leveret check`: would the tasks that wait be understood by the code that is about to run?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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

    Exit code 1 if there are any. Messages that are delayed, or with a worker just now, are not looked at.
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
    if rows or formatter is not Formatter.table:
        show(rows, ["queue", "id", "task", "reason", "error"], formatter)
    typer.echo(f"{looked} messages looked at, {len(rows)} would not run", err=True)
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
    """Of those queues that are there."""
    for queue in queues:
        async with Peek(connection) as peek:
            try:
                async for delivery in peek.read(queue, most):
                    yield queue, Message.of(queue, delivery)
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
