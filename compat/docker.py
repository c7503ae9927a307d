"""Stands in for Docker, as far as aiormq's and aio-pika's suites talk to it: they ask it for a RabbitMQ container.

They are given the broker that already runs: its ports as the container's. Five requests of Docker's HTTP API, answered
on a loopback port; DOCKER_HOST leads the suites here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTAINER = "the-broker-under-test"


def _inspection(ports: dict[int, int]) -> dict[str, Any]:
    bindings = {f"{inside}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}] for inside, port in ports.items()}
    return {"Id": CONTAINER, "NetworkSettings": {"Ports": bindings}}


class _Handler(BaseHTTPRequestHandler):
    ports: dict[int, int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({"Id": CONTAINER} if self.path.startswith("/containers/create") else None)

    def do_GET(self) -> None:
        self._answer(_inspection(self.ports))

    def do_DELETE(self) -> None:
        self._answer(None)

    def _answer(self, value: dict[str, Any] | None) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def stand_in(ports: dict[int, int]) -> Iterator[str]:
    """DOCKER_HOST of a Docker whose only container publishes `ports` (inside: on the host)."""
    handler = type("Handler", (_Handler,), {"ports": ports})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
