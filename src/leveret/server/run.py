"""Runs a server in the foreground: loop, logging, signals, the ready line. Called by the command line."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import uvloop

from leveret import __version__
from leveret.build import describe
from leveret.management.about import Listener
from leveret.server.config import Config
from leveret.server.gauges import Gauges
from leveret.server.http import Management, Mount
from leveret.server.server import Server

log = logging.getLogger("leveret.server")
FILES_MAX: Final = 65_536
STORE_FAILED: Final = os.EX_IOERR
"""The exit code when the message store cannot go on: 74."""


Beside = Callable[[Server], AbstractAsyncContextManager[object]]
"""Something else that is at work in the broker's process, from when the store is recovered until all clients are gone."""


def run(config: Config, gauges: Gauges | None = None, beside: Sequence[Beside] = (), mount: Mount | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. StoreError and OSError if it cannot start.

    `mount`: what else the management port serves; it is started after those beside.
    """
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
        return runner.run(_serve(config, gauges, beside, mount))


def _allow_many_files() -> None:
    """A connection is a file: the limit meant for ordinary programs is raised as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(config: Config, gauges: Gauges | None, beside: Sequence[Beside], mount: Mount | None) -> int:
    server = Server(config, gauges=gauges)
    async with AsyncExitStack() as others:
        return await _serve_with(server, others, beside, mount)


async def _serve_with(server: Server, others: AsyncExitStack, beside: Sequence[Beside], mount: Mount | None) -> int:
    config = server.config
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    management = _management(config, server, mount)
    await server.start()
    for one in beside:
        await others.enter_async_context(one(server))
    if management is not None:
        management.start()
    print(
        f"ready {_addresses(config, server, management)}: leveret {__version__}, {describe()}, {_kept(config)}",
        flush=True,
    )
    stopping = asyncio.create_task(stop.wait())
    failed = asyncio.create_task(server.stopped.wait())
    await asyncio.wait((stopping, failed), return_when=asyncio.FIRST_COMPLETED)
    if management is not None:
        await management.rest()
    if server.failure is None:
        log.info("stopping")
        await server.stop()
    if management is not None:
        await management.stop()
    for task in (stopping, failed):
        task.cancel()
    return 0 if server.failure is None else STORE_FAILED


def _management(config: Config, server: Server, mount: Mount | None) -> Management | None:
    return Management(server, mount) if config.management.enabled else None


def _addresses(config: Config, server: Server, management: Management | None) -> str:
    addresses = []
    if config.tcp:
        addresses.append(f"amqp://{_bracketed(config.host)}:{server.port}")
    if config.tls_port is not None:
        addresses.append(f"amqps://{_bracketed(config.host)}:{server.tls_port}")
    if config.socket is not None:
        addresses.append(f"unix:{config.socket}")
    if management is not None:
        addresses += [_address(door.listener) for door in management.doors]
    return " ".join(addresses)


def _address(listener: Listener) -> str:
    if not listener.port:
        return f"http+unix:{listener.host}"
    path = "/metrics" if listener.protocol == "http/prometheus" else ""
    return f"{listener.protocol.partition('/')[0]}://{_bracketed(listener.host)}:{listener.port}{path}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _kept(config: Config) -> str:
    return "nothing is kept" if config.directory is None else f"data in {config.directory}"
