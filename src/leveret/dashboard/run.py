"""The dashboard in a process of its own, for a RabbitMQ or a Leveret elsewhere. Called by the command line."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn

from leveret.dashboard.app import Dashboard, make_dashboard
from leveret.dashboard.remote_source import RemoteSource
from leveret.dashboard.source import Figures
from leveret.history import FILE, History
from leveret.history import Figures as Kept
from leveret.management.visitor import Patience, Visitor

STOP_S: Final = 1
SAMPLE_S: Final = 5.0
PATIENCE: Final = Patience()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the broker is, where the dashboard listens, and where it keeps its history: None in memory only. `patience` is
    what it has with browsers.
    """

    url: str
    management: str
    host: str
    port: int
    data: Path | None
    patience: Patience = PATIENCE


def run(place: Place, say: Callable[[str], object]) -> None:
    """Until SIGTERM or Ctrl-C. ManagementError if the broker is not there, OSError if it cannot listen, ValueError if
    `management` is no URL.

    `say` is called with the address, in which there is a word that signs in once, as soon as it answers there.
    """
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listening = socket.create_server((place.host, place.port), family=family)
    asyncio.run(serve(RemoteSource(place.management, place.url), place, listening, say))


async def serve(source: RemoteSource, place: Place, listening: socket.socket, say: Callable[[str], object]) -> None:
    whoever_started_it = await source.own()
    history = History.open(None if place.data is None else place.data / FILE)
    dashboard = make_dashboard(source, history)
    dashboard.parts.sampling.keep = Keeping(history).sample
    word = dashboard.sessions.invite(whoever_started_it)
    server = uvicorn.Server(
        uvicorn.Config(
            dashboard.app,
            http=partial(Visitor, place.patience),  # type: ignore[arg-type]  # called as the class would be
            ws="none",
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_S,
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    tasks = begin(dashboard, place.url, history)
    host, port = listening.getsockname()[:2]
    say(f"http://{f'[{host}]' if ':' in host else host}:{port}/#/in/{word}")
    # `serve` would take over the signals; `_serve` is what it wraps.
    await server._serve(sockets=[listening])
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await history.close()


class Keeping:
    """Gives the history the figures of all queues, as seldom as it wants them."""

    def __init__(self, history: History) -> None:
        self._history: Final = history
        self._at = 0.0

    def sample(self, rows: list[Figures], at: float) -> None:
        if at - self._at >= SAMPLE_S:
            self._at = at
            self._history.sample(
                [
                    Kept(row.vhost, row.name, row.ready, row.unacked, row.published or 0, row.gone or 0, row.consumers)
                    for row in rows
                ],
                at,
            )


def begin(dashboard: Dashboard, url: str, history: History) -> list[asyncio.Task[None]]:
    parts = dashboard.parts
    return [
        asyncio.create_task(parts.sampling.run()),
        asyncio.create_task(parts.hearing.run()),
        asyncio.create_task(parts.hearing.listen(url, history)),
    ]
