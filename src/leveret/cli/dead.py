"""`leveret dead …`: what was given up for dead, looked at, grouped, changed, sent again or thrown away."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from leveret.cli.completing import queues as queues_there
from leveret.cli.looking import Format, Formatter, fetch, show
from leveret.cli.looking import Url as Management
from leveret.cli.output import fail
from leveret.cli.reaching import Url, url_of
from leveret.client import connect
from leveret.errors import ChannelError, LeveretError
from leveret.tasks.dead import DeadLetter, DeadLetters, Filter
from leveret.tasks.topology import DEAD, dead_queue

T = TypeVar("T")
Decision = Callable[[DeadLetters, DeadLetter], Awaitable[None]]
LOOKED_MAX: Final = 1_000_000
NOT_FOUND: Final = 404
SHOWN_CHARACTERS: Final = 60

app = typer.Typer(
    help="Dead letters: what failed for good, and why; send it again or throw it away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Queue = Annotated[
    str, typer.Argument(metavar="QUEUE", help="The queue that the letters came from.", autocompletion=queues_there)
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these messages.")]
Task = Annotated[str, typer.Option(help="Only of this task.")]
Reason = Annotated[str, typer.Option(help="Only parked for this reason: attempts, rejected, unknown-task, arguments …")]
Error = Annotated[str, typer.Option(help="Only with this text in exception or error.")]
Most = Annotated[int, typer.Option("--limit", min=1, help="Look at so many, the oldest first.")]
Everything = Annotated[bool, typer.Option("--all", help="Every letter, if nothing else says which.")]


def opened(url: str | None, queue: str, act: Callable[[DeadLetters], Awaitable[T]]) -> T:
    """Ends the command with one line if the broker, or the queue, is not there."""

    async def run() -> T:
        connection = await connect(url_of(url), name="leveret dead", reconnect=False)
        async with connection, DeadLetters(connection, queue) as letters:
            return await act(letters)

    try:
        return asyncio.run(run())
    except ChannelError as error:
        if error.code == NOT_FOUND:
            fail(f"queue {queue!r} has no dead letters: there is no queue {dead_queue(queue)!r}", 1)
        fail(str(error), 1)
    except LeveretError as error:
        fail(str(error), 1)


def read(url: str | None, queue: str, wanted: Filter, most: int) -> list[DeadLetter]:
    async def all_of(letters: DeadLetters) -> list[DeadLetter]:
        return [letter async for letter in letters.letters(wanted, most)]

    return opened(url, queue, all_of)


def decided(url: str | None, queue: str, wanted: Filter, most: int, decide: Decision) -> int:
    """What becomes of all that are wanted; how many there were."""

    async def decide_all(letters: DeadLetters) -> int:
        count = 0
        async for letter in letters.letters(wanted, most):
            await decide(letters, letter)
            count += 1
        return count

    return opened(url, queue, decide_all)


@app.command("queues")
def list_dead_queues(management: Management = None, formatter: Format = Formatter.table) -> None:
    """The queues that have dead letters, and how many."""
    rows = [
        {"queue": row["name"].removesuffix(DEAD), "letters": row.get("messages", 0)}
        for row in fetch(management, "/api/queues")
        if row["name"].endswith(DEAD)
    ]
    show([row for row in rows if row["letters"]], ["queue", "letters"], formatter)


@app.command("list")
def list_letters(
    queue: Queue,
    task: Task = "",
    reason: Reason = "",
    error: Error = "",
    limit: Most = 100,
    url: Url = None,
    formatter: Format = Formatter.table,
) -> None:
    """A line for each dead letter, the oldest first."""
    letters = read(url, queue, Filter(task=task, reason=reason, error=error), limit)
    columns = ["id", "task", "reason", "attempts", "last_failure", "error"]
    show([row(letter, short=formatter is Formatter.table) for letter in letters], columns, formatter)


@app.command("errors")
def group_errors(
    queue: Queue, task: Task = "", limit: Most = 10_000, url: Url = None, formatter: Format = Formatter.table
) -> None:
    """How many letters died of what: a line for each task, reason and exception, the most first."""
    letters = read(url, queue, Filter(task=task), limit)
    groups = Counter((letter.task, letter.reason, letter.exception) for letter in letters)
    latest = {(letter.task, letter.reason, letter.exception): letter for letter in letters}
    rows = [
        {"letters": count, "task": key[0], "reason": key[1], "exception": key[2], "last_error": latest[key].error}
        for key, count in groups.most_common()
    ]
    if formatter is Formatter.table:
        rows = [{**one, "last_error": shortened(str(one["last_error"]))} for one in rows]
    show(rows, ["letters", "task", "reason", "exception", "last_error"], formatter)


@app.command("show")
def show_letter(queue: Queue, id: Annotated[str, typer.Argument(metavar="ID")], url: Url = None) -> None:
    """All that is known of one letter, with its arguments and its traceback, as JSON."""
    typer.echo(json.dumps(row(one(url, queue, id), short=False), indent=2, ensure_ascii=False))


@app.command("requeue")
def requeue(
    queue: Queue,
    ids: Ids = None,
    task: Task = "",
    reason: Reason = "",
    error: Error = "",
    everything: Everything = False,
    limit: Most = LOOKED_MAX,
    url: Url = None,
) -> None:
    """Send letters to their queue again, with all their attempts: those named, those that fit, or --all."""
    wanted = chosen(ids, task, reason, error, everything)
    told(decided(url, queue, wanted, limit, DeadLetters.requeue), "requeued", ids)


@app.command("discard")
def discard(
    queue: Queue,
    ids: Ids = None,
    task: Task = "",
    reason: Reason = "",
    error: Error = "",
    everything: Everything = False,
    limit: Most = LOOKED_MAX,
    url: Url = None,
) -> None:
    """Throw letters away for good: those named, those that fit, or --all."""
    wanted = chosen(ids, task, reason, error, everything)
    told(decided(url, queue, wanted, limit, DeadLetters.discard), "discarded", ids)


@app.command("edit")
def edit(
    queue: Queue,
    id: Annotated[str, typer.Argument(metavar="ID")],
    body: Annotated[str | None, typer.Option(help="The new body; without it your $EDITOR shows the old one.")] = None,
    url: Url = None,
) -> None:
    """Change the arguments of a letter and send it again; left as it was in the editor, it stays here."""
    letter = one(url, queue, id)
    before = letter.body.decode("utf-8", "replace")
    changed = edited(before) if body is None else body
    if changed.strip() == before.strip():
        fail("nothing was changed, the letter stays where it is", 1)
    try:
        json.loads(changed)
    except ValueError as error:
        if letter.task:
            fail(f"the body of a task has to be JSON: {error}")

    async def requeue(letters: DeadLetters, letter: DeadLetter) -> None:
        await letters.requeue(letter, changed.strip().encode())

    told(decided(url, queue, Filter(ids=frozenset([id])), LOOKED_MAX, requeue), "requeued", [id])


def edited(text: str) -> str:
    """As whoever sits at the terminal leaves it."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "body.json"
        file.write_text(text)
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            fail(f"the editor failed: {error}", 1)
        return file.read_text()


def one(url: str | None, queue: str, id: str) -> DeadLetter:
    letters = read(url, queue, Filter(ids=frozenset([id])), LOOKED_MAX)
    if not letters:
        fail(f"queue {queue!r} has no dead letter {id!r}", 1)
    return letters[0]


def chosen(ids: list[str] | None, task: str, reason: str, error: str, everything: bool) -> Filter:
    wanted = Filter(frozenset(ids or ()), task, reason, error)
    if wanted == Filter() and not everything:
        fail("which letters? name their ids, say --task, --reason or --error, or --all")
    return wanted


def told(count: int, what: str, ids: list[str] | None) -> None:
    """Exit code 1 if some of those that were named were not there."""
    typer.echo(f"{count} {what}")
    if ids and count < len(set(ids)):
        fail(f"{len(set(ids)) - count} of the letters named are not there", 1)


def row(letter: DeadLetter, short: bool) -> dict[str, Any]:
    error = f"{letter.exception}: {letter.error}"
    if short:
        return {**row(letter, False), "error": shortened(error)}
    return {
        "id": letter.id,
        "task": letter.task,
        "queue": letter.queue,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "first_failure": time_text(letter.first_failure),
        "last_failure": time_text(letter.last_failure),
        "error": error,
        "body": letter.body.decode("utf-8", "replace"),
        "traceback": letter.traceback,
    }


def shortened(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"


def time_text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")
