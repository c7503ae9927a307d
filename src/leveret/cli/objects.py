"""Commands that list connections, channels, consumers, exchanges and bindings, end them, and show the node."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from leveret.cli.asking import Format, Formatter, Url, Vhost, ask, done, path, show
from leveret.cli.completing import queues
from leveret.cli.output import fail
from leveret.cli.vhosts import no_vhost

Columns = Annotated[list[str] | None, typer.Argument(metavar="[COLUMN]...", help="As in rabbitmqctl.")]
Queue = Annotated[str, typer.Argument(help="The queue.", autocompletion=queues)]
Rows = list[dict[str, Any]]

BINDING = ["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"]
CONSUMER = ["queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments"]


def listing(rows: Rows, columns: list[str] | None, default: list[str], formatter: Formatter) -> None:
    """Print the columns; one that no row has is told."""
    chosen = columns or default
    known = set(default).union(*rows)
    for name in chosen:
        if rows and name not in known:
            fail(f"no column {name}; there are: {', '.join(sorted(known))}")
    show(rows, chosen, formatter)


def list_connections(columns: Columns = None, management: Url = None, formatter: Format = Formatter.table) -> None:
    """List connections, by default: user peer_host peer_port state."""
    rows = ask(management, "GET", path("connections"))
    listing(rows, columns, ["user", "peer_host", "peer_port", "state"], formatter)


def list_channels(columns: Columns = None, management: Url = None, formatter: Format = Formatter.table) -> None:
    """List channels, by default: name user consumer_count messages_unacknowledged."""
    rows = ask(management, "GET", path("channels"))
    listing(rows, columns, ["name", "user", "consumer_count", "messages_unacknowledged"], formatter)


def list_consumers(
    columns: Columns = None, vhost: Vhost = "/", management: Url = None, formatter: Format = Formatter.table
) -> None:
    """List the consumers of a virtual host; channel_pid is the channel's name."""
    found = ask(management, "GET", path("consumers", vhost), missing=no_vhost(vhost))
    rows = [{**row, "queue_name": row["queue"]["name"], "channel_pid": row["channel_details"]["name"]} for row in found]
    listing(rows, columns, CONSUMER, formatter)


def list_exchanges(
    columns: Columns = None, vhost: Vhost = "/", management: Url = None, formatter: Format = Formatter.table
) -> None:
    """List the exchanges of a virtual host, by default: name type."""
    rows = ask(management, "GET", path("exchanges", vhost), missing=no_vhost(vhost))
    listing(rows, columns, ["name", "type"], formatter)


def list_bindings(
    columns: Columns = None, vhost: Vhost = "/", management: Url = None, formatter: Format = Formatter.table
) -> None:
    """List the bindings of a virtual host."""
    found = ask(management, "GET", path("bindings", vhost), missing=no_vhost(vhost))
    rows = [
        {
            "source_name": row["source"],
            "source_kind": "exchange",
            "destination_name": row["destination"],
            "destination_kind": row["destination_type"],
            "routing_key": row["routing_key"],
            "arguments": row["arguments"],
            "vhost": row["vhost"],
        }
        for row in found
    ]
    listing(rows, columns, BINDING, formatter)


def close_connection(
    name: Annotated[str, typer.Argument(help="As list-connections name shows it.")],
    explanation: Annotated[str, typer.Argument(help="What the client is told.")],
    management: Url = None,
) -> None:
    """Close a connection."""
    missing = f"there is no connection {name!r}"
    ask(management, "DELETE", path("connections", name), missing=missing, headers={"X-Reason": explanation})
    done(f"connection {name!r} closed")


def no_queue(queue: str, vhost: str) -> str:
    return f"virtual host {vhost!r} has no queue {queue!r}"


def purge_queue(queue: Queue, vhost: Vhost = "/", management: Url = None) -> None:
    """Delete a queue's ready messages."""
    ask(management, "DELETE", path("queues", vhost, queue, "contents"), missing=no_queue(queue, vhost))
    done(f"queue {queue!r} in virtual host {vhost!r} purged")


def delete_queue(
    queue: Queue,
    vhost: Vhost = "/",
    if_empty: Annotated[bool, typer.Option("--if-empty", "-e", help="Only if it has no messages.")] = False,
    if_unused: Annotated[bool, typer.Option("--if-unused", "-u", help="Only if it has no consumers.")] = False,
    management: Url = None,
) -> None:
    """Delete a queue with its messages."""
    conditions = {"if-empty": if_empty, "if-unused": if_unused}
    query = urlencode({name: "true" for name, asked in conditions.items() if asked})
    at = path("queues", vhost, queue) + (f"?{query}" if query else "")
    ask(management, "DELETE", at, missing=no_queue(queue, vhost))
    done(f"queue {queue!r} in virtual host {vhost!r} deleted")


def status(management: Url = None, formatter: Format = Formatter.table) -> None:
    """What the node is, what it listens on, and how much it has to do."""
    overview = ask(management, "GET", path("overview"))
    (node, *_) = ask(management, "GET", path("nodes"))
    listeners = [f"{one['protocol']} {one['ip_address']}:{one['port']}" for one in overview.get("listeners", [])]
    totals = {**overview.get("object_totals", {}), **overview.get("queue_totals", {})}
    facts = {
        "product": f"{overview.get('product_name', 'RabbitMQ')} {overview.get('product_version', '')}".strip(),
        "node": overview["node"],
        "os_pid": node.get("os_pid", ""),
        "uptime_s": node.get("uptime", 0) // 1000,
        "listeners": listeners,
        "alarms": [name for name in ("mem_alarm", "disk_free_alarm") if node.get(name)],
        **{name: value for name, value in totals.items() if isinstance(value, int)},
    }
    if formatter is Formatter.table:
        for name, value in facts.items():
            typer.echo(f"{name + ':':<26}{', '.join(value) if isinstance(value, list) else value}")
    else:
        show([facts], list(facts), formatter)


COMMANDS = {
    "list-connections": list_connections,
    "list-channels": list_channels,
    "list-consumers": list_consumers,
    "list-exchanges": list_exchanges,
    "list-bindings": list_bindings,
    "close-connection": close_connection,
    "purge-queue": purge_queue,
    "delete-queue": delete_queue,
    "status": status,
}
