"""`leveret worker` and `leveret call`: run a program's tasks, or send one by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from leveret.cli.looking import Format, Formatter, show
from leveret.cli.output import fail
from leveret.errors import LeveretError, TaskError
from leveret.worker import main as run_worker
from leveret.worker.loading import load


def worker(
    app: Annotated[
        str, typer.Argument(metavar="MODULE[:NAME]", help="The program: a module or a file, and its WorkQueue.")
    ],
    processes: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Tasks at a time in each process.")] = 8,
    queues: Annotated[str, typer.Option(help="Only these queues, separated by commas.")] = "",
    url: Annotated[
        str | None, typer.Option(help="The broker; default: the program's, then LEVERET_URL, then one of its own.")
    ] = None,
    shutdown_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that running tasks have when stopped.")
    ] = 30.0,
    max_tasks: Annotated[int, typer.Option(min=0, help="Replace a process after so many tasks; 0: never.")] = 0,
    max_memory: Annotated[
        int, typer.Option(min=0, metavar="MB", help="Replace a process that holds more memory than that; 0: never.")
    ] = 0,
) -> None:
    """Run the tasks of a program until SIGTERM or Ctrl-C; a second one ends it at once."""
    try:
        code = run_worker(
            app,
            processes=processes,
            threads=threads,
            queues=[name for name in queues.split(",") if name],
            url=url,
            shutdown_timeout_s=shutdown_timeout,
            max_tasks=max_tasks,
            max_memory_mb=max_memory,
        )
    except TaskError as error:
        fail(str(error))
    except LeveretError as error:
        fail(str(error), 1)
    raise typer.Exit(code)


def schedules(
    app: Annotated[str, typer.Argument(metavar="MODULE[:NAME]", help="The program: a module or a file.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many of the next times.")] = 3,
    formatter: Format = Formatter.table,
) -> None:
    """What a program sends again and again: in plain words, and when next."""
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


def call(
    task: Annotated[str, typer.Argument(metavar="MODULE:TASK", help="The program and the name of one of its tasks.")],
    args: Annotated[str, typer.Option(help="Positional arguments, a JSON array.")] = "[]",
    kwargs: Annotated[str, typer.Option(help="Named arguments, a JSON object.")] = "{}",
) -> None:
    """Send a task and wait for the broker's confirm."""
    module, _, name = task.rpartition(":")
    if not module:
        fail(f"{task}: expected MODULE:TASK")
    try:
        positional = msgspec.json.decode(args, type=list[object])
        named = msgspec.json.decode(kwargs, type=dict[str, object])
    except msgspec.MsgspecError as error:
        fail(f"--args takes a JSON array, --kwargs a JSON object: {error}")
    try:
        tasks = load(module).tasks
        if name not in tasks:
            fail(f"{module} has no task {name!r}; it has: {', '.join(sorted(tasks)) or 'none'}")
        sent = tasks[name].send(*positional, **named)
    except TaskError as error:
        fail(str(error))
    except LeveretError as error:
        fail(str(error), 1)
    typer.echo(f"confirmed: task {sent.task} {sent.id} in {sent.queue}")
