"""`leveret call`: send a task by name."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from leveret.cli.output import fail
from leveret.errors import LeveretError, TaskError
from leveret.worker.loading import load


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
