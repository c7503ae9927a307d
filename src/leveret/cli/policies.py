"""Commands for policies, operator policies and definitions, under rabbitmqctl's names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from leveret.cli.asking import Format, Formatter, Url, Vhost, ask, done, json_object, path, show
from leveret.cli.output import fail
from leveret.cli.vhosts import no_vhost

Name = Annotated[str, typer.Argument(help="The policy.")]
Pattern = Annotated[str, typer.Argument(help="A regular expression for names.")]
Definition = Annotated[str, typer.Argument(help='JSON, as {"max-length": 1000}.')]
Priority = Annotated[int, typer.Option("--priority", help="The highest one that matches holds.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="JSON; - is standard output or input.")]
COLUMNS = ["vhost", "name", "pattern", "apply-to", "definition", "priority"]


def put(
    url: str | None, kind: str, vhost: str, name: str, pattern: str, definition: str, priority: int, to: str
) -> None:
    body = {
        "pattern": pattern,
        "definition": json_object(definition, "DEFINITION"),
        "priority": priority,
        "apply-to": to,
    }
    ask(url, "PUT", path(kind, vhost, name), body, missing=no_vhost(vhost))
    done(f"policy {name!r} in virtual host {vhost!r} set")


def clear(url: str | None, kind: str, vhost: str, name: str) -> None:
    ask(url, "DELETE", path(kind, vhost, name), missing=f"virtual host {vhost!r} has no policy {name!r}")
    done(f"policy {name!r} in virtual host {vhost!r} cleared")


def set_policy(
    name: Name,
    pattern: Pattern,
    definition: Definition,
    vhost: Vhost = "/",
    priority: Priority = 0,
    apply_to: Annotated[
        str, typer.Option("--apply-to", help="all, queues or exchanges, and what RabbitMQ knows.")
    ] = "all",
    management: Url = None,
) -> None:
    """Set a policy: arguments for all queues and exchanges whose names match, from now on."""
    put(management, "policies", vhost, name, pattern, definition, priority, apply_to)


def clear_policy(name: Name, vhost: Vhost = "/", management: Url = None) -> None:
    """Take a policy away."""
    clear(management, "policies", vhost, name)


def list_policies(vhost: Vhost = "/", management: Url = None, formatter: Format = Formatter.table) -> None:
    """List the policies of a virtual host."""
    show(ask(management, "GET", path("policies", vhost), missing=no_vhost(vhost)), COLUMNS, formatter)


def set_operator_policy(
    name: Name,
    pattern: Pattern,
    definition: Definition,
    vhost: Vhost = "/",
    priority: Priority = 0,
    apply_to: Annotated[str, typer.Option("--apply-to", help="queues, and what RabbitMQ knows.")] = "queues",
    management: Url = None,
) -> None:
    """Set an operator policy: a limit that users' policies and arguments cannot raise."""
    put(management, "operator-policies", vhost, name, pattern, definition, priority, apply_to)


def clear_operator_policy(name: Name, vhost: Vhost = "/", management: Url = None) -> None:
    """Take an operator policy away."""
    clear(management, "operator-policies", vhost, name)


def list_operator_policies(vhost: Vhost = "/", management: Url = None, formatter: Format = Formatter.table) -> None:
    """List the operator policies of a virtual host."""
    show(ask(management, "GET", path("operator-policies", vhost), missing=no_vhost(vhost)), COLUMNS, formatter)


# ---- definitions


def export_definitions(file: File, management: Url = None) -> None:
    """Write users, virtual hosts, permissions, policies, queues, exchanges and bindings as RabbitMQ's JSON."""
    text = json.dumps(ask(management, "GET", path("definitions")), indent=2) + "\n"
    if file == "-":
        typer.echo(text, nl=False)
        return
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        fail(f"{file}: {error.strerror}", 1)
    done(f"definitions written to {file}")


def import_definitions(file: File, management: Url = None) -> None:
    """Take over definitions that RabbitMQ or Leveret exported; what is there and not in them stays."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        fail(f"{file}: {error.strerror}", 1)
    except UnicodeDecodeError:
        fail(f"{file} is not JSON", 1)
    ask(management, "POST", path("definitions"), json_object(text, file))
    done("definitions imported")


COMMANDS = {
    "set-policy": set_policy,
    "clear-policy": clear_policy,
    "list-policies": list_policies,
    "set-operator-policy": set_operator_policy,
    "clear-operator-policy": clear_operator_policy,
    "list-operator-policies": list_operator_policies,
    "export-definitions": export_definitions,
    "import-definitions": import_definitions,
}
