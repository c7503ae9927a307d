"""`leveret broker`: runs the broker in the foreground until SIGTERM or Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leveret.cli.output import fail
from leveret.errors import LeveretError
from leveret.server.config import Config, Limits
from leveret.server.run import run

DEFAULTS = Limits()


def broker(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 5672,
    no_tcp: Annotated[bool, typer.Option("--no-tcp", help="Listen on the Unix socket only.")] = False,
    socket: Annotated[Path | None, typer.Option(help="Listen on this Unix socket as well.")] = None,
    data: Annotated[Path, typer.Option(help="Directory for messages.")] = Path("leveret-data"),
    memory: Annotated[bool, typer.Option("--memory", help="Keep nothing: for tests and trials.")] = False,
    management_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the HTTP API.")] = 15672,
    no_management: Annotated[bool, typer.Option("--no-management", help="No HTTP API.")] = False,
    memory_high_watermark: Annotated[
        float, typer.Option(min=0, help="Part of the machine's memory above which publishers are blocked.")
    ] = DEFAULTS.memory_high_watermark,
    disk_free_limit: Annotated[
        int, typer.Option(min=0, help="Octets of free disk below which publishers are blocked.")
    ] = DEFAULTS.disk_free_bytes_min,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the broker until SIGTERM or Ctrl-C. Prints one line beginning with `ready` when it accepts connections."""
    if no_tcp and socket is None:
        fail("--no-tcp needs --socket PATH: the broker would listen nowhere")
    if log_level not in ("debug", "info", "warning", "error"):
        fail(f"--log-level {log_level}: choose debug, info, warning or error")
    config = Config(
        host=None if no_tcp else host,
        port=port,
        socket=socket,
        directory=None if memory else data,
        management_port=None if no_management else management_port,
        log_level=log_level,
        limits=Limits(memory_high_watermark=memory_high_watermark, disk_free_bytes_min=disk_free_limit),
    )
    try:
        code = run(config)
    except LeveretError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"cannot listen: {error.strerror or error}", 1)
    raise typer.Exit(code)
