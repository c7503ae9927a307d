"""HTTP clients that are too slow, too many, or send or ask for too much: the API's limits at their edges and beyond."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Leveret
from management.support import Api

CONNECTIONS_MAX = 4
BODY_BYTES_MAX = 4_000_000
CUT_OFF_S = 15.0
"""Long enough for a busy machine; `request_s` is a thirtieth of it."""


class Strict(Leveret):
    def command(self) -> list[str]:
        file = Path(self.directory) / "leveret.toml"
        file.write_text(
            f"[management]\nconnections_max = {CONNECTIONS_MAX}\nrequest_s = 0.4\nbody_bytes_max = {BODY_BYTES_MAX}\n"
        )
        return [*super().command(), "--config", str(file)]


@pytest.fixture(scope="module")
def strict() -> Iterator[Leveret]:
    own = Strict(management=True)
    own.start()
    yield own
    own.remove()


@pytest.fixture
def api(strict: Leveret) -> Iterator[Api]:
    """At the end an ordinary request is answered."""
    yield Api(strict)
    until = time.monotonic() + CUT_OFF_S
    while True:
        with contextlib.suppress(OSError):
            assert Api(strict)("GET", "/whoami").status == 200
            return
        assert time.monotonic() < until


TOKEN = base64.b64encode(b"guest:guest").decode()


def head(method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} /api{path} HTTP/1.1", "Host: localhost", f"Authorization: Basic {TOKEN}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(strict: Leveret) -> socket.socket:
    return socket.create_connection(("127.0.0.1", strict.management_port), timeout=60)


def ended(link: socket.socket) -> bytes:
    """What is said until the connection ends."""
    said = b""
    try:
        while piece := link.recv(65_536):
            said += piece
    except ConnectionResetError:
        pass
    return said


# ---- bodies


def test_a_body_at_the_limit_is_read_and_one_beyond_is_not(api: Api) -> None:
    body = json.dumps({"arguments": {}, "durable": True})
    assert api("PUT", "/queues/%2F/edge", text=body.ljust(BODY_BYTES_MAX)).status == 201
    beyond = api("PUT", "/queues/%2F/edge", text=body.ljust(BODY_BYTES_MAX + 1))
    assert (beyond.status, beyond.json) == (
        400,
        {"error": "bad_request", "reason": "Exceeded HTTP request body size limit"},
    )
    assert api("DELETE", "/queues/%2F/edge").status == 204


def test_a_body_of_unknown_length_is_cut_at_the_limit(api: Api, strict: Leveret) -> None:
    with connect(strict) as link:
        link.sendall(head("PUT", "/queues/%2F/edge", "Transfer-Encoding: chunked"))
        with contextlib.suppress(OSError):  # cut off while it sends
            for _ in range(BODY_BYTES_MAX // 100_000 + 1):
                link.sendall(b"186a0\r\n" + b" " * 100_000 + b"\r\n")
        assert b"Exceeded HTTP request body size limit" in ended(link)


def test_a_body_is_not_read_from_whom_is_not_known(api: Api, strict: Leveret) -> None:
    with connect(strict) as link:
        link.sendall(b"PUT /api/queues/%2F/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert b"401" in link.recv(65_536)


def test_a_compressed_body_is_not_opened(api: Api) -> None:
    body = gzip.compress(b'{"durable": true}').decode("latin-1")
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = api("PUT", "/queues/%2F/zip", text=body, headers=headers)
    assert (answer.status, answer.json["reason"]) == (400, "not_json")


# ---- slowness

SLOW = {
    "says nothing": b"",
    "headers": head("GET", "/whoami")[:-3],
    "body": head("PUT", "/queues/%2F/slow", "Content-Length: 1000") + b"{",
    "unknown user's body": b"PUT /api/queues/%2F/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    "next request": head("GET", "/whoami") + head("GET", "/whoami")[:-3],
}


@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW.keys())
def test_who_is_slow_is_cut_off(api: Api, strict: Leveret, said: bytes) -> None:
    begun = time.monotonic()
    with connect(strict) as link:
        link.sendall(said)
        ended(link)
        assert 0.2 < time.monotonic() - begun < CUT_OFF_S


@pytest.mark.parametrize("said", [SLOW["headers"][:80], SLOW["body"][:200]], ids=["headers", "body"])
def test_who_speaks_octet_by_octet_is_cut_off(api: Api, strict: Leveret, said: bytes) -> None:
    begun = time.monotonic()
    with connect(strict) as link, contextlib.suppress(OSError):
        for octet in said:
            link.sendall(bytes((octet,)))
            if select.select([link], [], [], 0.05)[0] and not link.recv(65_536):
                break
    assert 0.2 < time.monotonic() - begun < CUT_OFF_S


def test_who_does_not_read_the_answer_is_cut_off(api: Api, strict: Leveret) -> None:
    fill(api, strict, "unread", 40, 100_000)
    asked = json.dumps({"count": 40, "ackmode": "ack_requeue_true", "encoding": "base64"}).encode()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        link.settimeout(20)
        link.connect(("127.0.0.1", strict.management_port))
        request = head("POST", "/queues/%2F/unread/get", f"Content-Length: {len(asked)}") + asked
        link.sendall(request * 3)
        begun = time.monotonic()
        while len(open_files(strict)) and time.monotonic() - begun < CUT_OFF_S:
            time.sleep(0.02)
        assert time.monotonic() - begun < CUT_OFF_S
    api("DELETE", "/queues/%2F/unread")


def open_files(strict: Leveret) -> list[str]:
    """The sockets of the API's clients, as the system has them on the broker's side."""
    assert strict.process is not None
    fds = Path(f"/proc/{strict.process.pid}/fd")
    # What the broker itself had open to look may be closed meanwhile.
    inodes = {Path(os.path.realpath(link)).name for link in fds.iterdir()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f":{strict.management_port:04X}"
    return [row[9] for row in rows if row[1].endswith(port) and row[3] == "01" and f"socket:[{row[9]}]" in inodes]


# ---- floods


def test_connections_beyond_the_limit_are_closed_at_once(api: Api, strict: Leveret) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(strict)) for _ in range(CONNECTIONS_MAX)]
        for link in idle:
            link.sendall(head("GET", "/whoami"))
            assert b"200 OK" in link.recv(65_536)
        with connect(strict) as beyond:
            assert ended(beyond) == b""
        idle[0].close()
        with connect(strict) as again:
            again.sendall(head("GET", "/whoami"))
            assert b"200 OK" in again.recv(65_536)


def test_a_flood_of_headers_is_refused(api: Api, strict: Leveret) -> None:
    with connect(strict) as link:
        with contextlib.suppress(OSError):
            link.sendall(head("GET", "/whoami", *[f"X-{number}: {'x' * 100}" for number in range(10_000)]))
        said = ended(link)
        assert said == b"" or b"400" in said


# ---- asking for much


def fill(api: Api, strict: Leveret, name: str, count: int, octets: int) -> None:
    api("PUT", f"/queues/%2F/{name}", {"durable": False})
    with strict.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(count):
            channel.basic_publish("", name, bytes(octets))


def test_a_get_takes_no_more_than_a_body_may_have(api: Api, strict: Leveret) -> None:
    fill(api, strict, "many", 60, 100_000)
    answer = api("POST", "/queues/%2F/many/get", {"count": 10**9, "ackmode": "ack_requeue_true", "encoding": "base64"})
    assert answer.status == 200
    assert BODY_BYTES_MAX < len(answer.text) < BODY_BYTES_MAX + 200_000
    cut = {"count": 10**9, "ackmode": "ack_requeue_false", "encoding": "base64", "truncate": 10}
    assert len(api("POST", "/queues/%2F/many/get", cut).json) == 60
    api("DELETE", "/queues/%2F/many")


def test_an_import_of_very_many_lets_the_others_have_their_turns(api: Api, strict: Leveret) -> None:
    queues = [{"name": f"imported{number}", "vhost": "/", "durable": False} for number in range(4_000)]
    took: list[float] = []

    def import_() -> None:
        begun = time.monotonic()
        assert api("POST", "/definitions", {"queues": queues}).status == 204
        took.append(time.monotonic() - begun)

    with strict.connect() as connection:
        channel = connection.channel()
        importing = threading.Thread(target=import_)
        importing.start()
        longest = 0.0
        while importing.is_alive():
            begun = time.monotonic()
            channel.queue_declare("", exclusive=True)
            longest = max(longest, time.monotonic() - begun)
        importing.join()
    assert longest < took[0] / 2
    with strict.connect() as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_delete(queue["name"])
