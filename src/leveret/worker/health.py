"""Serves /health, /ready and /metrics over HTTP, for whoever watches a worker. What it says is made by overview.

With several processes it is the supervisor who serves, so that it answers also when they do not. Used by supervisor and
inprocess.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leveret.errors import TaskError
from leveret.worker.overview import Overview, as_json, as_metrics

log = logging.getLogger("leveret.worker")

METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
VISITORS_MAX: Final = 64

Look = Callable[[], Overview]


class Health:
    """Listens from construction. TaskError if it cannot."""

    def __init__(self, host: str, port: int, look: Look) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise TaskError(f"the health endpoint cannot listen at {host}, port {port}: {error}") from None
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/health"
        config = uvicorn.Config(
            make_app(look),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            limit_concurrency=VISITORS_MAX,
            timeout_graceful_shutdown=1,
        )
        config.load()
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._uvicorn = uvicorn.Server(config)
        # `serve` would take over the signals that stop the worker; `_serve` is what it wraps.
        self._task = asyncio.get_running_loop().create_task(self._uvicorn._serve(sockets=[self._socket]))

    async def close(self) -> None:
        self._uvicorn.should_exit = True
        await self._task


def make_app(look: Look) -> Starlette:
    async def health(_: Request) -> Response:
        overview = look()
        return _answer(overview, overview.healthy)

    async def ready(_: Request) -> Response:
        overview = look()
        return _answer(overview, overview.ready)

    async def metrics(_: Request) -> Response:
        return Response(as_metrics(look()), media_type=METRICS)

    paths = {"/health": health, "/ready": ready, "/metrics": metrics}
    return Starlette(routes=[Route(path, serve, methods=["GET"]) for path, serve in paths.items()])


def _answer(overview: Overview, good: bool) -> Response:
    return Response(msgspec.json.encode(as_json(overview)), 200 if good else 503, media_type="application/json")
