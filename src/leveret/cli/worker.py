"""`leveret worker`: run a program's tasks.

By argparse, and not by typer as the other commands: a worker is to start at once, and typer alone takes longer to load than all that
a supervisor needs. Called by start, and by main for who comes that way.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from leveret.errors import LeveretError, TaskError
from leveret.worker.entry import command
from leveret.worker.options import FORMAT_VARIABLE, FORMATS, LEVELS, Options

LEVEL_VARIABLE: Final = "LEVERET_LOG_LEVEL"

INTERRUPTED: Final = 128 + signal.SIGINT
"""What a shell says of a program that Ctrl-C ended."""

ABOUT: Final = """Run the tasks of a program until SIGTERM or Ctrl-C, which lets running tasks finish.

A second signal gives back at once what runs, a third kills. SIGTSTP (Ctrl-Z): take nothing new, finish what runs, and wait
for SIGTERM. docs/workers.md tells more."""


WIDTH: Final = 80
"""Where the terminal does not say how wide it is."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """One is made for each option, and would ask shutil for the width, which takes longer to load than all options to be told."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size().columns or WIDTH
    except OSError:  # the output is no terminal
        return WIDTH


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """In one line, as the other commands do."""
        print(f"leveret: {message}", file=sys.stderr)
        sys.exit(2)


def main(arguments: list[str]) -> int:
    """The exit code."""
    given = vars(_parser().parse_args(arguments))
    level = os.environ.get(LEVEL_VARIABLE)
    try:
        return command(given.pop("app"), **({"log_level": level} if level else {}) | given)
    except LeveretError as error:
        print(f"leveret: {error}", file=sys.stderr)
        return 2 if isinstance(error, TaskError) else 1
    except KeyboardInterrupt:  # before the supervisor, or the worker, heeds signals
        return INTERRUPTED


def _parser() -> Parser:
    usual = Options()
    parser = Parser(
        prog="leveret worker",
        description=ABOUT,
        formatter_class=Formatter,
        argument_default=argparse.SUPPRESS,  # options has the defaults
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("app", metavar="MODULE[:NAME]", help="The program: a module or a file, and its WorkQueue.")
    add("--processes", type=whole(1), metavar="N", help=f"Worker processes (default: {usual.processes}).")
    add("--threads", type=whole(1), metavar="N", help=f"Tasks at a time in each process (default: {usual.threads}).")
    add("--queues", type=_names, metavar="A,B", help="Only these queues, separated by commas.")
    add("--url", help="The broker; default: the program's, then LEVERET_URL, then one of its own.")
    add(
        "--shutdown-timeout",
        type=float,
        dest="shutdown_timeout_s",
        metavar="SECONDS",
        help="What running tasks have when stopped; then they are given back, uncharged "
        f"(default: {usual.shutdown_timeout_s:g}).",
    )
    add("--max-tasks", type=whole(0), metavar="N", help="Replace a process after so many tasks; 0: never (default).")
    add(
        "--max-memory",
        type=whole(0),
        dest="max_memory_mb",
        metavar="MB",
        help="Replace a process that holds more memory than that; 0: never (default).",
    )
    add("--process-per-task", action="store_true", help="Run each task in a process of its own, as process=True does.")
    add(
        "--isolate",
        action=argparse.BooleanOptionalAction,
        help="Run what may have killed its worker in a process of its own from then on (default on Linux).",
    )
    add("--reload", action="store_true", help="Start anew when a Python file changes; needs leveret[reload].")
    add(
        "--health-port",
        type=whole(0, 65535),
        metavar="PORT",
        help="Serve /health, /ready and /metrics there; 0: not (default).",
    )
    add("--health-host", metavar="HOST", help=f"At this address (default: {usual.health_host}).")
    add(
        "--log-format",
        choices=FORMATS,
        help=f"Lines of text (default), or of JSON, with the task's id [env: {FORMAT_VARIABLE}].",
    )
    add("--log-level", choices=LEVELS, help=f"What is worth a line (default: info) [env: {LEVEL_VARIABLE}].")
    add("--verbose", "-v", action="store_true", help="Name all tasks and schedules at the start.")
    return parser


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Reads a number of that range."""

    def read(text: str) -> int:
        number = int(text) if text.removeprefix("-").isdecimal() else least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(
                f"{text!r}, expected {least} {'or more' if most is None else f'to {most}'}"
            )
        return number

    return read


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
