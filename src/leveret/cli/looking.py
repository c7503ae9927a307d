"""`leveret list-queues` and `leveret unacked`: looking into a broker over its management API, ours or RabbitMQ's."""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leveret.cli.output import fail, printable
from leveret.cli.reaching import USUAL_API, api_of
from leveret.errors import ManagementError
from leveret.management import remote

NOT_THERE: list[dict[str, Any]] = []
"""Stands for a list that this broker's API does not have."""

FIGURES = frozenset(
    {"messages", "messages_ready", "messages_unacknowledged", "consumers", "memory", "message_bytes", "state", "policy"}
)
"""Columns that a broker may not have gathered yet: RabbitMQ begins seconds after a queue's declaration."""

Url = Annotated[
    str | None,
    typer.Option(
        "--management",
        envvar="LEVERET_MANAGEMENT",
        help=f"URL of the management API; default: that of the .leveret directory here, if there is one, else {USUAL_API}.",
    ),
]


class Formatter(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


Format = Annotated[Formatter, typer.Option("--formatter", help="How to print.")]


def fetch(url: str | None, path: str, missing: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """A list of the API, or `missing` where there is none. Ends the command with one line if it cannot be had."""
    try:
        rows: list[dict[str, Any]] = remote.fetch(api_of(url), path, missing)
        return rows
    except ValueError as error:
        fail(f"--management {error}")
    except ManagementError as error:
        fail(str(error), 1)


def show(rows: list[dict[str, Any]], columns: list[str], formatter: Formatter) -> None:
    """Print the columns of the rows; what a row does not have stays empty."""
    if formatter is Formatter.json:
        typer.echo(json.dumps([{name: row.get(name) for name in columns} for row in rows]))
    elif formatter is Formatter.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([written(row.get(name, "")) for name in columns] for row in rows)
    else:
        table = Table(box=None, pad_edge=False)
        for name in columns:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*(escape(printable(str(written(row.get(name, ""))))) for name in columns))
        Console(width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False, emoji=False).print(table)


def written(value: Any) -> Any:
    """Objects and truth values as JSON writes them, nothing for what is not known."""
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    return "" if value is None else value


def list_queues(
    columns: Annotated[
        list[str] | None, typer.Argument(metavar="[COLUMN]...", help="As in rabbitmqctl: name messages_ready …")
    ] = None,
    management: Url = None,
    formatter: Format = Formatter.table,
) -> None:
    """List queues with the columns given, by default: name messages_ready messages_unacknowledged consumers."""
    chosen = columns or ["name", "messages_ready", "messages_unacknowledged", "consumers"]
    rows = fetch(management, "/api/queues")
    known = FIGURES.union(*rows)
    unknown = [name for name in chosen if name not in known]
    if rows and unknown:
        fail(f"no column {unknown[0]}; there are: {', '.join(sorted(known))}")
    show(rows, chosen, formatter)


def unacked(management: Url = None, formatter: Format = Formatter.table) -> None:
    """Who holds which message unacknowledged, and for how long (ms); the longest first.

    RabbitMQ does not tell that much: there it is how many each channel holds, the most first.
    """
    rows = fetch(management, "/api/unacked", NOT_THERE)
    if rows is not NOT_THERE:
        columns = ["queue", "held_ms", "consumer_tag", "delivery_tag", "redelivered", "channel", "connection", "client"]
        show(rows, columns, formatter)
        return
    typer.echo("leveret: this broker tells how many each channel holds, not which or for how long", err=True)
    held = held_by_channel(fetch(management, "/api/channels"), fetch(management, "/api/consumers"))
    show(held, ["queue", "messages_unacknowledged", "consumer_tag", "channel", "connection", "user"], formatter)


def held_by_channel(channels: list[dict[str, Any]], consumers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each channel that holds messages; what it consumes from, if anything, is where they may be from."""
    rows = []
    for channel in channels:
        if not channel.get("messages_unacknowledged"):
            continue
        own = [one for one in consumers if one["channel_details"]["name"] == channel["name"]]
        rows.append(
            {
                "queue": " ".join(sorted({one["queue"]["name"] for one in own})),
                "messages_unacknowledged": channel["messages_unacknowledged"],
                "consumer_tag": " ".join(sorted(one["consumer_tag"] for one in own)),
                "channel": channel["number"],
                "connection": channel["connection_details"]["name"],
                "user": channel["user"],
            }
        )
    return sorted(rows, key=lambda row: -row["messages_unacknowledged"])
