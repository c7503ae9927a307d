"""What the administrator's commands share: their options, and asking the management API with one line if it declines."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from leveret.cli.looking import Format, Formatter, Url, show
from leveret.cli.output import fail
from leveret.cli.reaching import api_of
from leveret.errors import ManagementError
from leveret.management.remote import Declined, path, remote

__all__ = ["Format", "Formatter", "Url", "Vhost", "ask", "done", "json_object", "path", "secret", "show"]

Vhost = Annotated[str, typer.Option("--vhost", "-p", help="The virtual host.")]


def ask(
    url: str | None,
    method: str,
    at: str,
    body: object = None,
    *,
    missing: str = "",
    headers: dict[str, str] | None = None,
) -> Any:
    """The API's answer. Ends the command if there is none; `missing` says it where the API only says 404."""
    try:
        return remote(api_of(url)).ask(method, at, body, headers)
    except Declined as declined:
        if declined.status == 404 and missing:
            fail(missing, 1)
        fail(declined.reason if declined.status in (400, 404) else str(declined), 1)
    except ManagementError as error:
        fail(str(error), 1)
    except ValueError as error:
        fail(f"--management {error}")


def done(text: str) -> None:
    typer.echo(text)


def secret(given: str | None, asked: str) -> str:
    """A password that is not on the command line is read from standard input."""
    if given is not None:
        return given
    if sys.stdin.isatty():
        answer: str = typer.prompt(asked, hide_input=True)
        return answer
    return sys.stdin.readline().rstrip("\n")


def json_object(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        fail(f"{name} is not JSON: {error}")
    if not isinstance(value, dict):
        fail(f"{name} is not a JSON object: {text}")
    return value
