"""Runs a server in the foreground: loop, logging, signals, the ready line. Called by the command line."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from typing import Final

import uvloop

from leveret import __version__
from leveret.build import describe
from leveret.server.config import Config
from leveret.server.gauges import Gauges
from leveret.server.http import Management
from leveret.server.server import Server

log = logging.getLogger("leveret.server")
FILES_MAX: Final = 65_536
STORE_FAILED: Final = os.EX_IOERR
"""The exit code when the message store cannot go on: 74."""


def run(config: Config, gauges: Gauges | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. StoreError and OSError if it cannot start."""
    logging.basicConfig(
        level=config.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    _allow_many_files()
    # The objects of a broker are few and long-lived or many and short-lived without cycles: full passes only cost. The small ones
    # are often and short: none may stop the loop for long.
    gc.freeze()
    gc.set_threshold(20_000, 250, 100)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, gauges))


def _allow_many_files() -> None:
    """A connection is a file: the limit meant for ordinary programs is raised as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(config: Config, gauges: Gauges | None) -> int:
    server = Server(config, gauges=gauges)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    management = _management(config, server)
    await server.start()
    if management is not None:
        management.start()
    print(
        f"ready {_addresses(config, server, management)}: leveret {__version__}, {describe()}, {_kept(config)}",
        flush=True,
    )
    stopping = asyncio.create_task(stop.wait())
    failed = asyncio.create_task(server.stopped.wait())
    await asyncio.wait((stopping, failed), return_when=asyncio.FIRST_COMPLETED)
    if server.failure is None:
        log.info("stopping")
        await server.stop()
    if management is not None:
        await management.stop()
    for task in (stopping, failed):
        task.cancel()
    return 0 if server.failure is None else STORE_FAILED


def _management(config: Config, server: Server) -> Management | None:
    wanted = config.management
    if not wanted.enabled:
        return None
    host = wanted.host or config.host
    try:
        return Management(server, host, wanted.port)
    except OSError as error:
        raise OSError(
            error.errno,
            f"the HTTP API on {host}:{wanted.port} ({error.strerror}); "
            "choose another --management-port or --no-management",
        ) from None


def _addresses(config: Config, server: Server, management: Management | None) -> str:
    addresses = []
    if config.tcp:
        addresses.append(f"amqp://{_bracketed(config.host)}:{server.port}")
    if config.tls_port is not None:
        addresses.append(f"amqps://{_bracketed(config.host)}:{server.tls_port}")
    if config.socket is not None:
        addresses.append(f"unix:{config.socket}")
    if management is not None:
        addresses.append(f"http://{_bracketed(management.host)}:{management.port}")
    return " ".join(addresses)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _kept(config: Config) -> str:
    return "nothing is kept" if config.directory is None else f"data in {config.directory}"
