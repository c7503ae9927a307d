"""The `leveret` command: parses and calls, nothing else. One module per group of commands. Called by start."""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from leveret import __version__

COMMANDS: Final = {
    "broker": "broker:broker",
    "worker": "main:worker",
    "call": "work:call",
    "schedules": "schedules:schedules",
    "check": "check:check",
    "pause": "orders:pause",
    "resume": "orders:resume",
    "list-queues": "looking:list_queues",
    "unacked": "looking:unacked",
    "top": "top:top",
    "why": "why:why",
    "trace": "trace:trace",
    "dashboard": "dashboard:dashboard",
    "send": "send:send",
    "demo": "demo:demo",
}
"""Each with its module, which is loaded when the command is called."""

PASSED_ON: Final = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
"""All that follows the command is its own affair."""

GROUPS: Final = {"dead": "dead", "store": "store", "workers": "orders"}
ADMINISTRATION: Final = ("users", "vhosts", "permissions", "policies", "objects")


def application(wanted: str = "") -> typer.Typer:
    """With that command only, if there is one of that name; with all of them otherwise."""
    app = typer.Typer(
        help="Leveret: a work queue with its AMQP 0-9-1 broker inside.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    if wanted in COMMANDS:
        _add_command(app, wanted)
    elif wanted in GROUPS:
        _add_group(app, wanted)
    else:
        _add_all(app)
    return app


def _add_all(app: typer.Typer) -> None:
    for name in COMMANDS:
        _add_command(app, name)
    for name in GROUPS:
        _add_group(app, name)
    for module in ADMINISTRATION:
        for name, command in _module(module).COMMANDS.items():
            app.command(name)(command)


def _add_command(app: typer.Typer, name: str) -> None:
    module, _, function = COMMANDS[name].partition(":")
    app.command(name, context_settings=PASSED_ON if name == "worker" else None)(getattr(_module(module), function))


def _add_group(app: typer.Typer, name: str) -> None:
    app.add_typer(_module(GROUPS[name]).app, name=name)


def _module(name: str) -> Any:
    return import_module(f"leveret.cli.{name}")


def worker(context: typer.Context) -> None:
    """Run the tasks of a program until SIGTERM or Ctrl-C, which lets running tasks finish."""
    raise typer.Exit(_module("worker").main(context.args))


def _version(wanted: bool) -> None:
    if wanted:
        describe = import_module("leveret.build").describe
        typer.echo(f"leveret {__version__}, {describe()}, Python {platform.python_version()}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Leveret: a work queue with its AMQP 0-9-1 broker inside."""


def main() -> None:
    """The entry point; wrong use ends with one line and exit code 2."""
    command = typer.main.get_command(application(sys.argv[1] if len(sys.argv) > 1 else ""))
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
