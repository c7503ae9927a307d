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
WARM_CASES = 2_000
LEAKED_BYTES_MAX = 64 << 20
"""More than after so many connections, it is not to take: nothing of those that are gone is kept."""
WAIT_S = 10.0
EXCHANGES_AT_FIRST = 7
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
        self._warm_bytes = 0
        self._used_bytes = 0

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
        greeted = rng.randint(0, len(GREETINGS)) if rng.random() < 0.1 else len(GREETINGS)
        data = damaged(rng, [*GREETINGS[greeted:], *frames])
        self._connection(greeted, data, rng.random() < 0.2)
        self._cases += 1
        if self._cases % ROUND == 0:
            self._look(data)
        return len(frames)

    def _connection(self, greeted: int, data: bytes, rudely: bool) -> None:
        """Greet in good order, all the way or so far, send the data, and read until the broker has closed; or leave at once."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S) as link:
            try:
                for greeting in GREETINGS[:greeted]:
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

    def facts(self) -> str:
        """Once everybody has left and what was declared is deleted, the broker is as it was."""
        self._look(b"")
        self._delete_all()
        totals = fetch(self._http, "/api/overview")["object_totals"]
        expected = {"connections": 0, "channels": 0, "consumers": 0, "queues": 0, "exchanges": EXCHANGES_AT_FIRST}
        if totals != expected:
            raise Broken(f"the broker keeps {totals}")
        warm = f", {self._warm_bytes >> 20} MiB after {WARM_CASES} cases" if self._warm_bytes else ""
        return f"every connection ended, nothing left of any; memory {self._used_bytes >> 20} MiB{warm}"

    def _delete_all(self) -> None:
        parameters = pika.ConnectionParameters("127.0.0.1", self._port, socket_timeout=WAIT_S)
        with contextlib.closing(pika.BlockingConnection(parameters)) as connection:
            channel = connection.channel()
            for queue in fetch(self._http, "/api/queues"):
                channel.queue_delete(queue["name"])
            for exchange in fetch(self._http, "/api/exchanges"):
                if exchange["name"] and not exchange["name"].startswith("amq."):
                    channel.exchange_delete(exchange["name"])
        deadline = time.monotonic() + WAIT_S
        while fetch(self._http, "/api/connections") and time.monotonic() < deadline:
            pass

    def _look(self, data: bytes) -> None:
        if self._process.poll() is not None:
            raise Broken(f"the broker ended with code {self._process.returncode}\n{self._said()}", data)
        if self._said():
            raise Broken(f"the broker logged an error:\n{self._said()}", data)
        self._serves(data)
        deadline = time.monotonic() + WAIT_S
        while fetch(self._http, "/api/connections"):
            if time.monotonic() > deadline:
                raise Broken("the broker does not forget a connection", data)
        self._measure(data)

    def _measure(self, data: bytes) -> None:
        """Memory, where the system tells it."""
        status = Path(f"/proc/{self._process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
        if found is None:
            return
        used = self._used_bytes = int(found[1]) * 1024
        if used > RSS_BYTES_MAX:
            raise Broken(f"the broker uses {used >> 20} MiB", data)
        if self._cases >= WARM_CASES and not self._warm_bytes:
            self._warm_bytes = used
        if self._warm_bytes and used > self._warm_bytes + LEAKED_BYTES_MAX:
            raise Broken(f"the broker leaks: {used >> 20} MiB, {self._warm_bytes >> 20} MiB at first", data)

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
