"""Invariant: whatever clients send, a running broker ends their connections and forgets them, its memory stays bounded,
and a client that keeps to the protocol is served at once.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import pika

from fuzz import Broken
from fuzz.frames import damaged, run_of
from leveret.management.remote import fetch
from leveret.wire import methods as m
from leveret.wire.frames import method_frame
from leveret.wire.methods import encode_method
from leveret.wire.spec import PROTOCOL_HEADER

RSS_BYTES_MAX = 600 << 20
WAIT_S = 10.0
ROUND = 50
"""Connections between two looks at the broker."""

START_OK = m.ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US")
GREETINGS = (
    PROTOCOL_HEADER,
    method_frame(0, encode_method(START_OK)),
    method_frame(0, encode_method(m.ConnectionTuneOk(channel_max=2047, frame_max=131_072)))
    + method_frame(0, encode_method(m.ConnectionOpen(virtual_host="/")))
    + method_frame(1, encode_method(m.ChannelOpen()))
    + method_frame(2, encode_method(m.ChannelOpen())),
)


class Live:
    """A broker of its own, in memory, for as long as the block lasts."""

    def __init__(self) -> None:
        command = ["broker", "--memory", "--port", "0", "--management-port", "0", "--log-level", "error"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "leveret", *command], stdout=subprocess.PIPE, stderr=self._log
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        found = re.match(r"ready amqp://127\.0\.0\.1:(\d+) (http://\S+:\d+)", line)
        if found is None:
            raise Broken(f"the broker did not start: {line}")
        self._port, self._http = int(found[1]), found[2]
        self._cases = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def check(self, rng: Random) -> int:
        """One connection; now and then a look at the broker. The number of frames sent."""
        frames = run_of(rng)
        data = damaged(rng, frames)
        self._connection(data, rng.random() < 0.2)
        self._cases += 1
        if self._cases % ROUND == 0:
            self._look(data)
        return len(frames)

    def _connection(self, data: bytes, rudely: bool) -> None:
        """Greet in good order, send the data, and read until the broker has closed; or leave at once."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S) as link:
            try:
                for greeting in GREETINGS:
                    link.sendall(greeting)
                    link.recv(65_536)
                link.sendall(data)
                if rudely:
                    return
                link.shutdown(socket.SHUT_WR)
                while link.recv(65_536):
                    pass
            except TimeoutError:
                raise Broken("a connection is stuck", data) from None
            except OSError:
                pass  # cut off

    def _look(self, data: bytes) -> None:
        if self._process.poll() is not None:
            raise Broken(f"the broker ended with code {self._process.returncode}\n{self._said()}", data)
        if self._said():
            raise Broken(f"the broker logged an error:\n{self._said()}", data)
        self._serves(data)
        status = Path(f"/proc/{self._process.pid}/status")
        if status.exists():
            found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
            if found is not None and int(found[1]) * 1024 > RSS_BYTES_MAX:
                raise Broken(f"the broker uses {found[1]} kB", data)
        deadline = time.monotonic() + WAIT_S
        while fetch(self._http, "/api/connections"):
            if time.monotonic() > deadline:
                raise Broken("the broker does not forget a connection", data)

    def _serves(self, data: bytes) -> None:
        """A well-behaved client; it also empties what the others have filled."""
        parameters = pika.ConnectionParameters("127.0.0.1", self._port, socket_timeout=WAIT_S)
        try:
            with contextlib.closing(pika.BlockingConnection(parameters)) as connection:
                channel = connection.channel()
                own = channel.queue_declare("", exclusive=True).method.queue
                channel.confirm_delivery()
                channel.basic_publish("", own, b"well", mandatory=True)
                if channel.basic_get(own, auto_ack=True)[2] != b"well":
                    raise Broken("a well-behaved client does not get its message", data)
                for name in ("q1", "q2", "q3"):
                    connection.channel().queue_delete(name)
        except (pika.exceptions.AMQPError, OSError) as error:
            raise Broken(f"a well-behaved client is not served: {error!r}", data) from error

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-4_000:]
