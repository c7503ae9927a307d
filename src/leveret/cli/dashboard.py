"""`leveret dashboard`: the dashboard in a process of its own, for a RabbitMQ or a Leveret elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leveret.cli.looking import Url as Management
from leveret.cli.output import fail
from leveret.cli.reaching import Url, api_of, url_of
from leveret.dashboard.run import Place, run
from leveret.errors import LeveretError


def dashboard(
    url: Url = None,
    management: Management = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 15680,
    data: Annotated[
        Path | None,
        typer.Option(help="Directory for the history of tasks and rates; default: it goes with the process."),
    ] = None,
) -> None:
    """Serve the dashboard until Ctrl-C. Prints one line with its address, which signs you in once.

    The embedded broker has it on its management port already: this is for RabbitMQ.
    """
    try:
        place = Place(url_of(url), api_of(management), host, port, data)
        run(place, lambda address: typer.echo(f"ready {address}"))
    except ValueError as error:
        fail(f"--management {error}")
    except LeveretError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"cannot listen: {error.strerror or error}", 1)
