"""Commands for virtual hosts and their limits, under rabbitmqctl's names."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leveret.cli.asking import Format, Formatter, Url, Vhost, ask, done, json_object, path, show

Name = Annotated[str, typer.Argument(metavar="VHOST")]


def no_vhost(name: str) -> str:
    return f"virtual host {name!r} does not exist"


def add_vhost(
    vhost: Name,
    description: Annotated[str | None, typer.Option("--description")] = None,
    tags: Annotated[str | None, typer.Option("--tags", help="Separated by commas.")] = None,
    default_queue_type: Annotated[
        str | None, typer.Option("--default-queue-type", help="classic or quorum, for queues that do not say.")
    ] = None,
    management: Url = None,
) -> None:
    """Create a virtual host, or describe one anew."""
    given = {"description": description, "tags": tags, "default_queue_type": default_queue_type}
    body = {key: value for key, value in given.items() if value is not None}
    ask(management, "PUT", path("vhosts", vhost), body)
    done(f"virtual host {vhost!r} added")


def delete_vhost(vhost: Name, management: Url = None) -> None:
    """Delete a virtual host with all that is in it; its connections are closed."""
    ask(management, "DELETE", path("vhosts", vhost), missing=no_vhost(vhost))
    done(f"virtual host {vhost!r} deleted")


def list_vhosts(
    columns: Annotated[
        list[str] | None, typer.Argument(metavar="[COLUMN]...", help="name, description, tags, tracing, …")
    ] = None,
    management: Url = None,
    formatter: Format = Formatter.table,
) -> None:
    """List virtual hosts."""
    show(ask(management, "GET", path("vhosts")), columns or ["name"], formatter)


# ---- limits


def set_vhost_limits(
    definition: Annotated[str, typer.Argument(help='JSON, as {"max-queues": 10}; -1: no limit.')],
    vhost: Vhost = "/",
    management: Url = None,
) -> None:
    """Limit a virtual host's connections (max-connections) and queues (max-queues)."""
    for limit, value in json_object(definition, "DEFINITION").items():
        ask(management, "PUT", path("vhost-limits", vhost, limit), {"value": value}, missing=no_vhost(vhost))
    done(f"limits of virtual host {vhost!r} set")


def limits_of(management: str | None, vhost: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ask(management, "GET", path("vhost-limits", vhost), missing=no_vhost(vhost))
    return rows


def clear_vhost_limits(vhost: Vhost = "/", management: Url = None) -> None:
    """Take all limits of a virtual host away."""
    for row in limits_of(management, vhost):
        for limit in row["value"]:
            ask(management, "DELETE", path("vhost-limits", vhost, limit))
    done(f"limits of virtual host {vhost!r} cleared")


def list_vhost_limits(
    vhost: Vhost = "/",
    global_: Annotated[bool, typer.Option("--global", help="Of all virtual hosts.")] = False,
    management: Url = None,
    formatter: Format = Formatter.table,
) -> None:
    """List the limits of a virtual host, or of all."""
    found = ask(management, "GET", path("vhost-limits")) if global_ else limits_of(management, vhost)
    rows = [{"vhost": row["vhost"], "limits": row["value"]} for row in found if row["value"]]
    show(rows, ["vhost", "limits"], formatter)


COMMANDS = {
    "add-vhost": add_vhost,
    "delete-vhost": delete_vhost,
    "list-vhosts": list_vhosts,
    "set-vhost-limits": set_vhost_limits,
    "clear-vhost-limits": clear_vhost_limits,
    "list-vhost-limits": list_vhost_limits,
}
