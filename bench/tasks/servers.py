"""The brokers behind the task queues: RabbitMQ, Redis as it comes, Redis with every write synced, and Leveret's own.

Each is started when first asked for, lives in a fresh directory, listens on 127.0.0.1 alone and is removed with the
stack that `bench.tasks.run` owns. Leveret's own is spoken to over a Unix socket, as programs on its machine do that name no
other broker; the others over TCP, as they come.
"""

import contextlib
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol
from urllib.parse import quote

from tests.brokers import BrokerFailed, answers, free_port

from bench.brokers import Leveret, RabbitMQ

START_S = 20.0
STOP_S = 10.0


class Server(Protocol):
    """What a measurement needs to know of a broker that runs."""

    @property
    def url(self) -> str: ...
    def clean(self, queue: str) -> None: ...


class OverAmqp:
    """RabbitMQ or Leveret."""

    def __init__(self, broker: Leveret | RabbitMQ) -> None:
        self.broker = broker
        self.url = broker.url
        if isinstance(broker, Leveret):
            path = broker.directory / "socket"
            broker.more = ("--socket", str(path))
            self.url = f"amqp+unix://{quote(str(path))}"

    def clean(self, queue: str) -> None:
        """Remove what a measurement left: there may be messages of a kill test in it."""
        connection = self.broker.connect()
        for name in (queue, f"{queue}.DQ", f"{queue}.XQ", f"{queue}.dead"):
            with contextlib.suppress(Exception):
                connection.channel().queue_delete(name)
        connection.close()


class Redis:
    """`synced`: an append-only file, synced before each answer (appendfsync always); else as it comes."""

    def __init__(self, synced: bool) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.directory = Path(tempfile.mkdtemp(prefix="leveret-redis-"))
        options = ["--appendonly", "yes", "--appendfsync", "always"] if synced else []
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        with (self.directory / "output").open("wb") as output:
            self.process = subprocess.Popen(
                ["redis-server", *place, *options], stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    @staticmethod
    def missing() -> str:
        return "" if shutil.which("redis-server") else "redis-server is not installed"

    def await_ready(self) -> None:
        deadline = monotonic() + START_S
        while self.process.poll() is None and monotonic() < deadline:
            if answers(self.port, b"PING\r\n"):
                return
            sleep(0.05)
        raise BrokerFailed(f"redis-server does not answer\n{(self.directory / 'output').read_text()[-2000:]}")

    def clean(self, queue: str) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            connection.recv(64)

    def remove(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Servers:
    """By name: rabbitmq, redis, redis-synced, leveret."""

    def __init__(self, stack: ExitStack, leveret_python: str) -> None:
        self._stack = stack
        self._leveret_python = leveret_python
        self._running: dict[str, Server] = {}

    @staticmethod
    def missing(name: str) -> str:
        """Why that one cannot be run here; empty if it can."""
        if name == "rabbitmq":
            return RabbitMQ.missing()
        return Redis.missing() if name.startswith("redis") else ""

    def __getitem__(self, name: str) -> Server:
        if name not in self._running:
            self._running[name] = self._start(name)
        return self._running[name]

    def _start(self, name: str) -> Server:
        if name.startswith("redis"):
            redis = Redis(synced=name == "redis-synced")
            self._stack.callback(redis.remove)
            redis.await_ready()
            return redis
        broker = RabbitMQ() if name == "rabbitmq" else Leveret(self._leveret_python)
        self._stack.callback(broker.remove)
        server = OverAmqp(broker)
        broker.start()
        return server
