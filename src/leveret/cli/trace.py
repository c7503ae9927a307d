"""`leveret trace`: what happens to tasks from now on, a line for each event, as workers tell it."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import typer

from leveret.cli.completing import queues
from leveret.cli.looking import Format, Formatter
from leveret.cli.output import fail, printable
from leveret.cli.reaching import Url, url_of
from leveret.errors import LeveretError
from leveret.tasks.clues import span
from leveret.tasks.events import KINDS, AnyEvent, Beat, Kind, Progressed, Retried, kind_of
from leveret.tasks.listener import Listener

COLUMNS: Final = ["time", "event", "queue", "task", "id", "attempt", "worker", "detail"]
OF_TASKS: Final = [kind for kind in KINDS if kind != "worker"]


def trace(
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", help="Only of this queue; may be given again.", autocompletion=queues),
    ] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="Only of this task; may be given again.")] = None,
    id: Annotated[list[str] | None, typer.Option("--id", help="Only of this message; may be given again.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help=f"Only these events: {', '.join(KINDS)}; may be given again.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="End after so many; 0: go on until interrupted.")] = 0,
    url: Url = None,
    formatter: Format = Formatter.table,
) -> None:
    """Print what happens to tasks from now on, as it happens; json prints an object on each line.

    Workers say it from their next beat on, within two seconds.
    """
    kinds = [_kind(name) for name in kind or OF_TASKS]
    wanted = Wanted(frozenset(queue or ()), frozenset(task or ()), frozenset(id or ()))
    try:
        asyncio.run(_follow(url_of(url), kinds, wanted, limit, formatter))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except BrokenPipeError:  # `leveret trace | head`
        sys.stdout = None
        raise typer.Exit(0) from None
    except LeveretError as error:
        fail(str(error), 1)


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if kind == name:
            return kind
    fail(f"--kind {name}: there are {', '.join(KINDS)}")


class Wanted(msgspec.Struct, frozen=True):
    """Empty: any."""

    queues: frozenset[str]
    tasks: frozenset[str]
    ids: frozenset[str]

    def fits(self, event: AnyEvent) -> bool:
        if isinstance(event, Beat):
            return not (self.tasks or self.ids) and not (self.queues and self.queues.isdisjoint(event.queues))
        return (
            (not self.queues or event.queue in self.queues)
            and (not self.tasks or event.task in self.tasks)
            and (not self.ids or event.id in self.ids)
        )


async def _follow(url: str, kinds: list[Kind], wanted: Wanted, limit: int, formatter: Formatter) -> None:
    async with Listener(url, kinds, sorted(wanted.queues), name="leveret trace") as listener:
        typer.echo("leveret: listening", err=True)
        if formatter is Formatter.csv:
            csv.writer(sys.stdout).writerow(COLUMNS)
        count = 0
        async for event in listener:
            if wanted.fits(event):
                _print(event, formatter)
                count += 1
            if limit and count >= limit:
                return


def _print(event: AnyEvent, formatter: Formatter) -> None:
    if formatter is Formatter.json:
        # Fields that have their usual value are there too: programs need not know which that is.
        print(json.dumps({"event": kind_of(event), **msgspec.structs.asdict(event)}, default=msgspec.to_builtins))
    elif formatter is Formatter.csv:
        csv.writer(sys.stdout).writerow(row(event).values())
    else:
        at = datetime.fromtimestamp(event.time, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        words = [word for name, word in row(event).items() if name != "time" and word != ""]
        print(printable(f"{at}  {words[0]:<9}  " + "  ".join(map(str, words[1:]))))
    sys.stdout.flush()


def row(event: AnyEvent) -> dict[str, Any]:
    common = {"time": event.time, "event": kind_of(event)}
    if isinstance(event, Beat):
        of_task: dict[str, Any] = {"queue": ",".join(event.queues), "task": "", "id": "", "attempt": ""}
    else:
        of_task = {"queue": event.queue, "task": event.task, "id": event.id, "attempt": event.attempt}
    return {**common, **of_task, "worker": event.worker, "detail": detail(event)}


def detail(event: AnyEvent) -> str:
    """What this kind has to tell besides, in a few words."""
    if isinstance(event, Beat):
        return f"{event.state}, {event.busy} of {event.slots} busy"
    if isinstance(event, Progressed):
        return (
            f"{event.done:g}" + (f" of {event.total:g}" if event.total else "") + (f" {event.text}" * bool(event.text))
        )
    error = ": ".join(filter(None, (getattr(event, "exception", ""), getattr(event, "error", ""))))
    if isinstance(event, Retried):
        return f"again in {span(event.delay_s)}; {error}"
    took_s = getattr(event, "took_s", None)
    reason = getattr(event, "reason", "")
    return "; ".join(filter(None, (reason, error, f"took {span(took_s)}" if took_s is not None else "")))
