"""`leveret top`: workers, queues and running tasks, live."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.cli.looking import Format, Formatter
from leveret.cli.output import fail
from leveret.cli.reaching import Url, url_of
from leveret.errors import LeveretError
from leveret.top.run import top as run_top


def top(
    url: Url = None,
    queues: Annotated[str, typer.Option(help="Only these queues, separated by commas.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Print it once, when all workers have been heard of.")] = False,
    formatter: Format = Formatter.table,
) -> None:
    """Watch workers, queues and running tasks, live, in the manner of htop; `?` shows the keys.

    Where the output is no terminal it is printed once. The json formatter prints all that is known.
    """
    if formatter is Formatter.csv:
        fail("--formatter csv: what is seen here is no table; there are table and json")
    try:
        run_top(
            url_of(url),
            queues=[name for name in queues.split(",") if name],
            once=once,
            as_json=formatter is Formatter.json,
        )
    except LeveretError as error:
        fail(str(error), 1)
