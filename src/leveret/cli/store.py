"""`leveret store …`: checking, copying, compacting and reading the file that a broker keeps its messages in."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from leveret.broker import audit
from leveret.broker.message import decode_stored
from leveret.cli.looking import Format, Formatter
from leveret.cli.output import fail
from leveret.errors import StoreError
from leveret.management.messages import encoded, properties_view
from leveret.store.archive import Archive, QueueFigures
from leveret.store.archive import compact as compact_file
from leveret.store.database import Row
from leveret.store.lock import DirectoryLock
from leveret.store.store import FILE_NAME
from leveret.wire.properties import decode_properties

SHOWN_MAX: Final = 100
"""Problems that are printed; of more it is told how many."""

app = typer.Typer(
    help="The file that a broker keeps its messages in: check it, copy it, compact it, read it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The broker's data directory (--data).")]


@contextmanager
def opened(directory: Path) -> Iterator[Archive]:
    try:
        with Archive(directory / FILE_NAME) as archive:
            yield archive
    except StoreError as error:
        fail(str(error), 2)


def progress_bar(what: str) -> Progress:
    """On standard error, and only for who looks at it."""
    console = Console(stderr=True)
    columns = (TextColumn(what + " {task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@app.command()
def check(
    directory: Directory,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read every message and index.")] = False,
    formatter: Format = Formatter.table,
) -> None:
    """Is the store in order? Also while a broker runs on it; nothing is changed.

    Looks at the file, whether counts and messages agree, and whether definitions and messages can be read. Exit code 1:
    there are problems, a line for each; 2: there is no store.
    """
    began = time.monotonic()
    with opened(directory) as archive, progress_bar("checking") as bar:
        task = bar.add_task("", total=None)
        found = list(audit.problems(archive, not quick, lambda what: bar.update(task, description=what)))
        queues = archive.queues() if not any(problem.startswith("file:") for problem in found) else []
    figures = {
        "problems": found,
        "queues": len({(queue.vhost, queue.name) for queue in queues}),
        "messages": sum(queue.messages for queue in queues),
        "seconds": round(time.monotonic() - began, 3),
    }
    if formatter is Formatter.json:
        typer.echo(json.dumps(figures))
    else:
        for problem in found[:SHOWN_MAX]:
            typer.echo(problem)
        if len(found) > SHOWN_MAX:
            typer.echo(f"and {len(found) - SHOWN_MAX} more")
        verdict = f"{len(found)} problems" if found else "in order"
        typer.echo(f"{verdict}: {figures['queues']} queues, {figures['messages']} messages, {figures['seconds']} s")
    if found:
        raise typer.Exit(1)


@app.command()
def backup(
    directory: Directory,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A directory, made if it is not there.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the copy that is there.")] = False,
) -> None:
    """Copy the store into another directory, from which a broker can start; a running broker goes on meanwhile.

    The copy has everything that was confirmed when the command began. It is complete, or not there at all.
    """
    target = destination / FILE_NAME
    if target.exists() and not force:
        fail(f"{target} exists; --force replaces it")
    lock = _lock(destination) if target.exists() else None
    began = time.monotonic()
    with opened(directory) as archive, progress_bar("copying") as bar:
        try:
            destination.mkdir(parents=True, exist_ok=True)
            task = bar.add_task("", total=None)
            archive.back_up(target, lambda done, total: bar.update(task, completed=done, total=total))
        except OSError as error:
            fail(f"{target} was not written: {error}", 1)
    if lock is not None:
        lock.release()
    typer.echo(f"{target}: {target.stat().st_size} octets, {time.monotonic() - began:.1f} s")


def _lock(directory: Path) -> DirectoryLock:
    try:
        return DirectoryLock(directory)
    except (StoreError, OSError) as error:
        fail(str(error), 1)


@app.command()
def compact(directory: Directory) -> None:
    """Give the disk back what a store does not need any more. The broker must not run.

    A store does not shrink by itself when its messages are gone: the room is kept for those to come.
    """
    if not (directory / FILE_NAME).exists():
        fail(f"there is no {directory / FILE_NAME}")
    lock = _lock(directory)
    began = time.monotonic()
    try:
        with progress_bar("compacting") as bar:
            bar.add_task("", total=None)
            before, after = compact_file(directory / FILE_NAME)
    except StoreError as error:
        fail(str(error), 1)
    finally:
        lock.release()
    typer.echo(f"{directory / FILE_NAME}: {before} octets before, {after} after, {time.monotonic() - began:.1f} s")


@app.command()
def dump(
    directory: Directory,
    queue: Annotated[str | None, typer.Option("--queue", help="Only of this queue.")] = None,
    vhost: Annotated[str, typer.Option("--vhost", "-p", help="The virtual host of that queue.")] = "/",
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="At most so many messages.")] = None,
) -> None:
    """Print the messages as JSON lines, in the order of their queues; also while a broker runs.

    One that is held unacknowledged is still in the store, as one among the others.
    """
    with opened(directory) as archive:
        chosen = [row for row in archive.queues() if queue is None or (row.vhost, row.name) == (vhost, queue)]
        if queue is not None and not chosen:
            fail(f"no durable queue '{queue}' in vhost '{vhost}'", 1)
        left = limit
        for row in chosen:
            for message in archive.messages(row.id):
                if left is not None:
                    if not left:
                        return
                    left -= 1
                sys.stdout.write(json.dumps(message_line(row, message)) + "\n")


def message_line(queue: QueueFigures, row: Row) -> dict[str, Any]:
    """A stored message as JSON; one that cannot be read as the octets that are there."""
    line: dict[str, Any] = {
        "vhost": queue.vhost,
        "queue": queue.name,
        "priority": queue.priority,
        "position": row.position,
    }
    reason = audit.unreadable(row)
    if reason:
        return {**line, "unreadable": reason, "data": encoded(row.data, "base64")[0], "data_encoding": "base64"}
    address, header, _, body = decode_stored(row.data)
    middle = 1 + address[0]
    payload, encoding = encoded(body, "auto")
    return {
        **line,
        "deliveries": row.deliveries,
        "expires": row.expires or None,
        "persistent": not row.transient,
        "exchange": address[1:middle].decode("utf-8", "replace"),
        "routing_key": address[middle + 1 :].decode("utf-8", "replace"),
        "properties": properties_view(decode_properties(header, 12)),
        "payload": payload,
        "payload_encoding": encoding,
    }
