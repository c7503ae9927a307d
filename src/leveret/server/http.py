"""Serves the management API, Prometheus' metrics and a guest's pages on the broker's own loop, with uvicorn.

On a port, over TLS on another, on a Unix socket, and the metrics alone on a port of their own: each is a `Door`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from leveret.management.about import Listener, Node
from leveret.management.api import Api
from leveret.management.app import Guest, make_app, make_metrics_app
from leveret.management.metrics import Metrics
from leveret.management.visitor import Patience, Visitor
from leveret.server import config as settings
from leveret.server.certificate import valid_until
from leveret.server.server import Server, remove_stale
from leveret.server.tls import make_context


class Door:
    """A socket that listens, and who answers there."""

    def __init__(
        self,
        listening: socket.socket,
        app: ASGIApp,
        limits: settings.Management,
        protocol: str,
        context: ssl.SSLContext | None = None,
        certificate: Path | None = None,
    ) -> None:
        name: Any = listening.getsockname()
        self.listener = (
            Listener(protocol, name, 0)
            if isinstance(name, str)
            else Listener(protocol, str(name[0]), int(name[1]), certificate)
        )
        self._socket = listening
        config = uvicorn.Config(
            app,
            http=partial(Visitor, Patience(limits.connections_max, limits.request_s)),  # type: ignore[arg-type]  # called as the class would be
            ws="none",
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = context
        self._uvicorn = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        # `serve` would take over the signals that end the broker; `_serve` is what it wraps.
        self._task = asyncio.create_task(self._uvicorn._serve(sockets=[self._socket]))

    async def close(self) -> None:
        self._uvicorn.should_exit = True
        if self._task is not None:
            await self._task
        else:
            self._socket.close()


Mount = Callable[[Server, Api], Guest]
"""Makes the app that answers all paths but the API's; the broker is not recovered yet."""


class Management:
    """Listens from construction (OSError or ConfigError if it cannot); `doors` are where, also where port 0 was asked for."""

    def __init__(self, server: Server, mount: Mount | None = None) -> None:
        config = server.config
        limits = config.management
        self._server = server
        self._node = Node(
            server.started_at_ms,
            files_max=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            sockets_max=server.sockets_max,
            directory="" if config.directory is None else str(config.directory),
            mechanisms=config.auth_mechanisms,
            valid_until=valid_until,
        )
        self.api = Api(server.broker, server.turn, self._node, limits.body_bytes_max, limits.sample_s)
        self._metrics = Metrics(server.broker, self._node, server.turn)
        self._guest = None if mount is None else mount(server, self.api)
        self._path = limits.socket
        self.doors: list[Door] = []
        try:
            self._make_doors(config)
        except BaseException:
            for door in self.doors:
                door._socket.close()
            raise

    def _make_doors(self, config: settings.Config) -> None:
        limits, certificate = config.management, config.ssl_options.certfile
        host = limits.host or config.host
        app = make_app(self.api, self._metrics, self._guest, metrics_open=limits.metrics_open)
        if limits.tcp:
            self.doors.append(Door(listening(host, limits.port), app, limits, "http"))
        if limits.tls_port is not None:
            # Users come with passwords here: nobody is asked for a certificate.
            context = make_context(replace(config.ssl_options, verify="verify_none", fail_if_no_peer_cert=False))
            secure = listening(host, limits.tls_port)
            self.doors.append(Door(secure, app, limits, "https", context, certificate))
        if limits.socket is not None:
            local = make_app(self.api, self._metrics, self._guest, metrics_open=limits.metrics_open, local=True)
            self.doors.append(Door(listening_at(limits.socket), local, limits, "http"))
        if config.prometheus.port is not None:
            open_to_all = listening(config.prometheus.host or host, config.prometheus.port)
            self.doors.append(Door(open_to_all, make_metrics_app(self._metrics), limits, "http/prometheus"))

    def start(self) -> None:
        """The server listens: now it can be told where."""
        server = self._server
        config, certificate = server.config, server.config.ssl_options.certfile
        amqp = [
            Listener("amqp", config.host, server.port),
            Listener("amqp/ssl", config.host, server.tls_port, certificate),
        ]
        self._node.listeners = [one for one in amqp if one.port]
        if config.socket is not None:
            self._node.listeners.append(Listener("amqp", str(config.socket), 0))
        self._node.listeners += [door.listener for door in self.doors]
        for door in self.doors:
            door.open()
        self.api.sampling.start()
        if self._guest is not None:
            self._guest.start()

    async def rest(self) -> None:
        """The broker is about to stop."""
        if self._guest is not None:
            await self._guest.stop()

    async def stop(self) -> None:
        self.api.sampling.stop()
        await asyncio.gather(*(door.close() for door in self.doors))
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        text = f"HTTP on {host}:{port} ({error.strerror}); choose another --management-port, or --no-management"
        raise OSError(error.errno, text) from None


def listening_at(path: Path) -> socket.socket:
    """A Unix socket that only this user may connect to."""
    try:
        remove_stale(path)
        found = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            found.bind(str(path))
        finally:
            os.umask(before)
        found.listen(100)
    except OSError as error:
        raise OSError(error.errno, f"HTTP on {path} ({error.strerror})") from None
    return found
