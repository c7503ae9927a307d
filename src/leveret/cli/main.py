"""The `leveret` command: parses and calls, nothing else. One module per group of commands."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from leveret import __version__
from leveret.build import describe
from leveret.cli.broker import broker

app = typer.Typer(
    help="Leveret: a work queue with its AMQP 0-9-1 broker inside.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"leveret {__version__}, {describe()}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Leveret: a work queue with its AMQP 0-9-1 broker inside."""


app.command()(broker)


def main() -> None:
    """The entry point; wrong use ends with one line and exit code 2."""
    app(prog_name="leveret")
