"""Which broker a command speaks AMQP to: the one that is named, or else this directory's own, or else the usual address."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from leveret.cli.output import fail
from leveret.errors import TaskError
from leveret.tasks.local import local_url

USUAL_URL: Final = "amqp://guest:guest@127.0.0.1:5672/%2F"

Url = Annotated[
    str | None,
    typer.Option(
        envvar="LEVERET_URL",
        help=f"The broker; default: that of the .leveret directory here, if there is one, else {USUAL_URL}.",
    ),
]


def url_of(given: str | None) -> str:
    """The local broker is started if it does not run."""
    if given:
        return given
    if not Path(".leveret").is_dir():
        return USUAL_URL
    try:
        return local_url()
    except TaskError as error:
        fail(str(error), 1)
