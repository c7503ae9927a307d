"""`leveret pause`, `leveret resume` and `leveret workers …`: what workers are told over the broker, wherever they are."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import typer

from leveret.cli.looking import Format, Formatter, fetch, show
from leveret.cli.looking import Url as Management
from leveret.cli.output import fail
from leveret.cli.reaching import Url, url_of
from leveret.client import Connection, connect
from leveret.errors import LeveretError, TaskError
from leveret.tasks import orders, pausing
from leveret.tasks.events import BEAT_S, Beat
from leveret.tasks.listener import Listener

T = TypeVar("T")
Tell = Callable[[Connection, list[str] | None], Awaitable[None]]
"""Of whom; None: all."""

LISTENED_S: Final = 2 * BEAT_S
OBEYED_S: Final = 4 * BEAT_S
OBEYED: Final = {"quiet": ("quiet", "stopping", "stopped"), "resume": ("running",), "stop": ("stopping", "stopped")}
"""What the beats of those say who were told to."""

app = typer.Typer(
    help="Worker processes: which there are; have them take nothing new, go on, or stop.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Queue = Annotated[str, typer.Argument(metavar="QUEUE")]
Workers = Annotated[
    list[str] | None,
    typer.Argument(metavar="[WORKER]...", help="As `leveret workers list` and `leveret top` name them."),
]
Everyone = Annotated[bool, typer.Option("--all", help="All that are connected just now.")]


def over(url: str | None, act: Callable[[Connection], Awaitable[T]]) -> T:
    """Ends the command with one line if the broker is not there, or will not."""

    async def run() -> T:
        async with await connect(url_of(url), name="leveret", reconnect=False) as connection:
            return await act(connection)

    try:
        return asyncio.run(run())
    except TaskError as error:
        fail(str(error), 1)
    except LeveretError as error:
        fail(str(error), 1)


def who() -> str:
    """As others read it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""


def pause(
    queue: Annotated[
        str, typer.Argument(metavar="[QUEUE]", help="Without one: what is paused, by whom, since when.")
    ] = "",
    by: Annotated[str, typer.Option(help="Who says so; default: your name on this machine.")] = "",
    url: Url = None,
    management: Management = None,
    formatter: Format = Formatter.table,
) -> None:
    """No worker takes anything from a queue any more, also none that starts later. What runs goes on to its end."""
    if not queue:
        show_paused(management, formatter)
        return
    over(url, lambda connection: pausing.pause(connection, queue, by or who()))
    typer.echo(f"paused: {queue}")


def show_paused(management: str | None, formatter: Formatter) -> None:
    rows = [
        {"queue": one.queue, "by": one.by, "since": datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds")}
        for one in pausing.paused(fetch(management, "/api/queues")).values()
    ]
    show(rows, ["queue", "by", "since"], formatter)


def resume(queue: Queue, url: Url = None) -> None:
    """Workers take from a paused queue again."""
    over(url, lambda connection: pausing.resume(connection, queue))
    typer.echo(f"resumed: {queue}")


@app.command("list")
def list_workers(url: Url = None, formatter: Format = Formatter.table) -> None:
    """The worker processes that say within some seconds that they live."""
    columns = ["worker", "program", "state", "slots", "busy", "queues", "supervisor", "place"]
    try:
        beats = asyncio.run(heard(url_of(url)))
    except LeveretError as error:
        fail(str(error), 1)
    show([{name: getattr(beat, name) for name in columns} for beat in beats], columns, formatter)


async def heard(url: str) -> list[Beat]:
    """The latest of each, by name."""
    beats: dict[str, Beat] = {}
    async with Listener(url, ("worker",), (), "leveret workers") as events:
        try:
            async with asyncio.timeout(LISTENED_S):
                async for event in events:
                    if isinstance(event, Beat):
                        beats[event.worker] = event
        except TimeoutError:
            pass
    return [beats[worker] for worker in sorted(beats) if beats[worker].state != "stopped"]


@app.command("quiet")
def quiet(workers: Workers = None, everyone: Everyone = False, url: Url = None) -> None:
    """Take nothing new, and finish what runs, as by SIGTSTP, until resumed or stopped."""
    told(url, "quiet", orders.quiet_workers, workers, everyone)


@app.command("resume")
def resume_workers(workers: Workers = None, everyone: Everyone = False, url: Url = None) -> None:
    """Take tasks again, once quiet."""
    told(url, "resume", orders.resume_workers, workers, everyone)


@app.command("stop")
def stop(workers: Workers = None, everyone: Everyone = False, url: Url = None) -> None:
    """Stop, as by SIGTERM; no other process takes the place of one that was stopped so."""
    told(url, "stop", orders.stop_workers, workers, everyone)


def told(
    url: str | None,
    deed: str,
    tell: Tell,
    workers: list[str] | None,
    everyone: bool,
) -> None:
    if bool(workers) is everyone:
        fail("say which: their names, or --all")
    if everyone:
        over(url, lambda connection: tell(connection, None))
        typer.echo(f"told to {deed}: all workers")
        return
    try:
        deaf = asyncio.run(deaf_to(url_of(url), deed, tell, workers or []))
    except LeveretError as error:
        fail(str(error), 1)
    if deaf:
        fail(
            f"told to {deed}, and did not within {OBEYED_S:g} s: {', '.join(deaf)}; who is there: leveret workers list",
            1,
        )
    typer.echo(f"told to {deed}: {', '.join(workers or ())}")


async def deaf_to(url: str, deed: str, tell: Tell, workers: list[str]) -> list[str]:
    """Tells them, once more those whose beats say otherwise, for they may have been away; who has not obeyed in time."""
    left = dict.fromkeys(workers)
    async with Listener(url, ("worker",), (), "leveret workers") as events:
        await tell(events.connection, workers)
        with suppress(TimeoutError):
            async with asyncio.timeout(OBEYED_S):
                while left:
                    event = await anext(events)
                    if not isinstance(event, Beat) or event.worker not in left:
                        continue
                    if event.state in OBEYED[deed]:
                        del left[event.worker]
                    else:
                        await tell(events.connection, [event.worker])
    return list(left)
