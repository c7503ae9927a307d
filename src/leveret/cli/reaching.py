"""Which broker a command speaks to, by AMQP or HTTP: the one that is named, or else this directory's own, or else the usual
address.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from leveret.cli.output import fail
from leveret.errors import TaskError
from leveret.tasks.local import local_api, local_url

USUAL_URL: Final = "amqp://guest:guest@127.0.0.1:5672/%2F"
USUAL_API: Final = "http://guest:guest@127.0.0.1:15672"

Url = Annotated[
    str | None,
    typer.Option(
        envvar="LEVERET_URL",
        help=f"The broker; default: that of the .leveret directory here, if there is one, else {USUAL_URL}.",
    ),
]


def url_of(given: str | None) -> str:
    """Of AMQP. The local broker is started if it does not run."""
    return _of(given, USUAL_URL, local_url)


def api_of(given: str | None) -> str:
    """The same of the management API."""
    return _of(given, USUAL_API, local_api)


def _of(given: str | None, usual: str, local: Callable[[], str]) -> str:
    if given:
        return given
    if not Path(".leveret").is_dir():
        return usual
    try:
        return local()
    except TaskError as error:
        fail(str(error), 1)
