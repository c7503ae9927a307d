"""The dashboard as its users have it: on the embedded broker's management port, or as `leveret dashboard` beside a RabbitMQ."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import START_S, Broker, BrokerFailed
from leveret.management.remote import Remote, remote

CHROMIUM = Path("/usr/bin/chromium")
WAIT_MS = 30_000
"""Long enough for a machine that does much else."""


class Place:
    """A broker with its dashboard at `url`."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.url = f"http://127.0.0.1:{broker.management_port}"
        self.process: subprocess.Popen[str] | None = None
        self.word_url = ""
        self._connections: list[BlockingConnection] = []

    @property
    def api(self) -> Remote:
        return remote(self.broker.management_url)

    def start(self) -> None:
        self.broker.start()
        if self.broker.kind != "leveret":
            self._start_beside()

    def _start_beside(self) -> None:
        command = [sys.executable, "-m", "leveret", "dashboard", "--url", self.broker.url]
        command += ["--management", self.broker.management_url, "--port", "0"]
        with (self.broker.directory / "dashboard").open("ab") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        said: list[str] = []
        ready = threading.Event()
        threading.Thread(target=_read, args=(self.process.stdout, said, ready), daemon=True).start()
        if not ready.wait(START_S) or not said:
            raise BrokerFailed(f"no ready line\n{(self.broker.directory / 'dashboard').read_text()}")
        self.word_url = said[0].removeprefix("ready ").strip()
        self.url = self.word_url.partition("/#/")[0]

    def stop(self) -> None:
        for connection in self._connections:
            if connection.is_open:
                with suppress(pika.exceptions.AMQPError):
                    connection.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_S)
        self.broker.remove()

    # ---- the broker's side

    def channel(self, name: str = "test") -> BlockingChannel:
        connection = self.broker.connect(client_properties={"connection_name": name})
        self._connections.append(connection)
        return connection.channel()

    def fill(self, queue: str, *bodies: bytes, **properties: Any) -> None:
        """Declared durable, and the messages confirmed in it."""
        channel = self.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True)
        for body in bodies:
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True)
        channel.connection.close()

    def ready(self, queue: str) -> int:
        channel = self.channel()
        count: int = channel.queue_declare(queue, passive=True).method.message_count
        channel.connection.close()
        return count


def _read(stdout: IO[str], said: list[str], ready: threading.Event) -> None:
    with stdout:
        for line in stdout:
            if line.startswith("ready"):
                said.append(line)
                ready.set()
    ready.set()


def at(*parts: str) -> str:
    """An address of the dashboard."""
    return "/#/" + "/".join(quote(part, safe="") for part in parts)


def missing_browser() -> str:
    """Why nothing can be shown here; empty if it can."""
    if not CHROMIUM.exists():
        return f"{CHROMIUM} is not installed (Debian's package chromium)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return ""


def in_ci() -> bool:
    return bool(os.environ.get("CI"))
