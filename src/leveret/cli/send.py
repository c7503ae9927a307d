"""`leveret send`: a plain persistent message into a durable queue, confirmed by the broker."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.cli.completing import queues
from leveret.cli.output import fail
from leveret.cli.reaching import Url, url_of
from leveret.client.blocking import connect_blocking
from leveret.errors import LeveretError
from leveret.wire.properties import BasicProperties


def send(
    queue: Annotated[
        str, typer.Argument(help="The queue; declared durable if it is not there.", autocompletion=queues)
    ],
    text: Annotated[list[str], typer.Argument(help="The message, words joined by spaces.")],
    url: Url = None,
) -> None:
    """Send TEXT to QUEUE and wait for the broker's confirm."""
    try:
        connection = connect_blocking(url_of(url), name="leveret send", reconnect=False)
        try:
            channel = connection.channel(confirms=True)
            channel.queue_declare(queue, durable=True)
            properties = BasicProperties(delivery_mode=2, content_type="text/plain")
            channel.publish(" ".join(text).encode(), routing_key=queue, properties=properties, mandatory=True)
        finally:
            connection.close()
    except (LeveretError, OSError, ValueError) as error:
        fail(str(error), 1)
    typer.echo(f"confirmed: {' '.join(text)!r} in {queue}")
