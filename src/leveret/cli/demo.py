"""`leveret demo`: the whole of Leveret at work on real files, a worker killed half way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leveret.cli.output import fail
from leveret.demo.run import run
from leveret.errors import LeveretError


def demo(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Files to work on; default: Python's standard library.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = 3,
) -> None:
    """Compress every file of DIR with a broker and workers of its own, kill a worker half way, and count what was done.

    The exit code is 1 if any task was lost.
    """
    if directory is not None and not directory.is_dir():
        fail(f"{directory} is no directory")
    try:
        code = run(directory, workers)
    except LeveretError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail("interrupted; everything the demo started has ended", 130)
    raise typer.Exit(code)
