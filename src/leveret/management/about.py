"""What management has to know of the server that it cannot see in the broker: filled in by server/http."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leveret.management.views import NODE


@dataclass(frozen=True, slots=True)
class Listener:
    """A Unix socket has its path for a host, and no port."""

    protocol: str
    host: str
    port: int
    certificate: Path | None = None

    def view(self) -> dict[str, Any]:
        return {
            "node": NODE,
            "protocol": self.protocol,
            "ip_address": self.host,
            "port": self.port,
        }

    @property
    def is_http(self) -> bool:
        return self.protocol.startswith("http")

    def context(self) -> dict[str, Any]:
        """As RabbitMQ lists what it serves over HTTP."""
        name = "Prometheus" if "prometheus" in self.protocol else "Management"
        secure = [] if self.certificate is None else [["certfile", str(self.certificate)]]
        return {
            "ssl_opts": secure,
            "node": NODE,
            "description": f"Leveret {name}",
            "path": "/",
            "cowboy_opts": "[]",
            "ip": self.host,
            "port": str(self.port),
        }


def nowhere(_: Path) -> float:
    raise OSError("no certificate can be read here")


@dataclass(slots=True)
class Node:
    started_at_ms: int = 0
    listeners: list[Listener] = field(default_factory=list)
    files_max: Callable[[], int] = lambda: 0
    sockets_max: int = 0
    directory: str = ""
    """Of the messages; empty if they are in memory alone."""
    config_files: list[str] = field(default_factory=list)
    mechanisms: tuple[str, ...] = ("PLAIN", "AMQPLAIN")
    valid_until: Callable[[Path], float] = nowhere
    """Until when (seconds since 1970) the certificate in the file is valid; OSError or ConfigError: it cannot be read."""
