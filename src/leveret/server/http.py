"""Serves the management API on the broker's own loop, with uvicorn."""

from __future__ import annotations

import asyncio
import resource
import socket

import uvicorn

from leveret.management.app import make_app
from leveret.management.node import Listener, Node
from leveret.server.server import Server


class Management:
    """Listens from construction (OSError if it cannot); `port` is the one in use, also where 0 was asked for."""

    def __init__(self, server: Server, host: str, port: int) -> None:
        self._socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._server = server
        self._node = Node(server.started_at_ms, files_max=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        app = make_app(server.broker, server.turn, self._node)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The server listens: now it can be told where."""
        server = self._server
        listeners = [("amqp", server.config.host, server.port), ("amqp/ssl", server.config.host, server.tls_port)]
        listeners.append(("http", self.host, self.port))
        self._node.listeners = [Listener(*one) for one in listeners if one[2]]
        # `serve` would take over the signals that end the broker; `_serve` is what it wraps.
        self._task = asyncio.create_task(self._uvicorn._serve(sockets=[self._socket]))

    async def stop(self) -> None:
        self._uvicorn.should_exit = True
        if self._task is not None:
            await self._task
