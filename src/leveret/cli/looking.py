"""`leveret list-queues` and `leveret unacked`: looking into a broker over its management API, ours or RabbitMQ's."""

from __future__ import annotations

import base64
import csv
import json
import sys
import urllib.error
import urllib.request
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import typer
from rich.console import Console
from rich.table import Table

from leveret.cli.output import fail

DEFAULT_URL = "http://guest:guest@127.0.0.1:15672"
WAIT_S = 10

Url = Annotated[str, typer.Option("--management", envvar="LEVERET_MANAGEMENT", help="URL of the management API.")]


class Formatter(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


Format = Annotated[Formatter, typer.Option("--formatter", help="How to print.")]


def fetch(url: str, path: str) -> list[dict[str, Any]]:
    """A list of the API. Ends the command with one line if it cannot be had."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fail(f"--management {url}: expected http://USER:PASSWORD@HOST:PORT")
    where = f"{parts.scheme}://{parts.hostname}:{parts.port or 15672}"
    user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(where + path, headers={"Authorization": f"Basic {token}"})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            rows: list[dict[str, Any]] = json.load(answer)
            return rows
    except urllib.error.HTTPError as error:
        reason = {401: f"user {user} or its password is wrong", 404: "it has no such list"}.get(
            error.code, error.reason
        )
        fail(f"{where}{path} answered {error.code}: {reason}", 1)
    except (urllib.error.URLError, OSError) as error:
        fail(f"cannot reach {where}: {getattr(error, 'reason', error)}; is the broker running?", 1)
    except ValueError:
        fail(f"{where}{path} did not answer with JSON: is it a management API?", 1)


def show(rows: list[dict[str, Any]], columns: list[str], formatter: Formatter) -> None:
    """Print the columns of the rows; what a row does not have stays empty."""
    if formatter is Formatter.json:
        typer.echo(json.dumps([{name: row.get(name) for name in columns} for row in rows]))
    elif formatter is Formatter.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([row.get(name, "") for name in columns] for row in rows)
    else:
        table = Table(box=None, pad_edge=False)
        for name in columns:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*(str(row.get(name, "")) for name in columns))
        Console(width=None if sys.stdout.isatty() else 1000, highlight=False).print(table)


def list_queues(
    columns: Annotated[
        list[str] | None, typer.Argument(metavar="[COLUMN]...", help="As in rabbitmqctl: name messages_ready …")
    ] = None,
    management: Url = DEFAULT_URL,
    formatter: Format = Formatter.table,
) -> None:
    """List queues with the columns given, by default: name messages_ready messages_unacknowledged consumers."""
    chosen = columns or ["name", "messages_ready", "messages_unacknowledged", "consumers"]
    rows = fetch(management, "/api/queues")
    known = {name for row in rows for name in row}
    unknown = [name for name in chosen if name not in known]
    if rows and unknown:
        fail(f"no column {unknown[0]}; there are: {', '.join(sorted(known))}")
    show(rows, chosen, formatter)


def unacked(management: Url = DEFAULT_URL, formatter: Format = Formatter.table) -> None:
    """Who holds which message unacknowledged, and for how long (ms); the longest first."""
    columns = ["queue", "held_ms", "consumer_tag", "delivery_tag", "redelivered", "channel", "connection", "client"]
    show(fetch(management, "/api/unacked"), columns, formatter)
