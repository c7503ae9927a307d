"""Serves the management API on the broker's own loop, with uvicorn."""

from __future__ import annotations

import asyncio
import resource
import socket
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from leveret.management.app import make_app
from leveret.management.node import Listener, Node
from leveret.server import config as settings
from leveret.server.server import Server


class Visitor(H11Protocol):
    """An HTTP connection, with the limits that uvicorn does not have: how many there are, and how long it may take until a
    request is there in full, or an answer is read.
    """

    def __init__(self, limits: settings.Management, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections_max:
            transport.abort()
        else:
            self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._be_patient()

    def handle_events(self) -> None:
        super().handle_events()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body and not self.flow.write_paused:
            self._be_patient()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self._hurry()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._hurry()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._be_patient()
        if self.cycle.response_complete:
            self._hurry()

    def _hurry(self) -> None:
        """It is the client's turn."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.request_s, self.transport.abort)

    def _be_patient(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Management:
    """Listens from construction (OSError if it cannot); `port` is the one in use, also where 0 was asked for."""

    def __init__(self, server: Server, host: str, port: int) -> None:
        self._socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._server = server
        self._node = Node(server.started_at_ms, files_max=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        limits = server.config.management
        app = make_app(server.broker, server.turn, self._node, limits.body_bytes_max)
        config = uvicorn.Config(
            app,
            http=partial(Visitor, limits),  # type: ignore[arg-type]  # called as the class would be
            ws="none",
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
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
