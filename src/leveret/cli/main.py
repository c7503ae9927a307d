"""The `leveret` command: parses and calls, nothing else. One module per group of commands."""

from __future__ import annotations

import platform
import sys
from typing import Annotated

import typer

from leveret import __version__
from leveret.build import describe
from leveret.cli import dead, objects, permissions, policies, store, users, vhosts
from leveret.cli.broker import broker
from leveret.cli.check import check
from leveret.cli.demo import demo
from leveret.cli.looking import list_queues, unacked
from leveret.cli.send import send
from leveret.cli.work import call, schedules, worker

app = typer.Typer(
    help="Leveret: a work queue with its AMQP 0-9-1 broker inside.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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
app.command("worker")(worker)
app.command("call")(call)
app.command("schedules")(schedules)
app.command("check")(check)
app.command("list-queues")(list_queues)
app.command("unacked")(unacked)
app.command("send")(send)
app.command("demo")(demo)
app.add_typer(dead.app, name="dead")
app.add_typer(store.app, name="store")
for group in (users, vhosts, permissions, policies, objects):
    for name, command in group.COMMANDS.items():
        app.command(name)(command)


def main() -> None:
    """The entry point; wrong use ends with one line and exit code 2."""
    command = typer.main.get_command(app)
    try:
        code = command.main(prog_name="leveret", standalone_mode=False)
    except Exception as error:
        # Typer's own copy of click raises these; what they have in common is that they can tell themselves in a line.
        describe_error = getattr(error, "format_message", None)
        if describe_error is None:
            raise
        text = describe_error()
        typer.echo(text if text.startswith("Usage:") else f"leveret: {text}", err=True)
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
