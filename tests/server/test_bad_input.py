"""Bad input harms only who sent it: the sender gets AMQP's error or is cut off, everybody else goes on."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brokers import Leveret
from leveret.wire import methods as m
from leveret.wire.frames import header_payload
from server.support import Raw


def frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + bytes((end,))


@pytest.fixture(scope="module")
def leveret() -> Iterator[Leveret]:
    own = Leveret(management=False)
    own.start()
    yield own
    own.remove()


@pytest.fixture
def raw(leveret: Leveret) -> Iterator[Callable[[], Raw]]:
    opened: list[Raw] = []

    def connect() -> Raw:
        opened.append(Raw(leveret.port))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()
    with leveret.connect() as witness:
        assert witness.channel().queue_declare("", exclusive=True).method.message_count == 0


Connect = Callable[[], Raw]


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x01\x01\x08\x00", pytest.param(os.urandom(64), id="random")],
)
def test_a_wrong_protocol_header_is_answered_with_ours_and_the_end(raw: Connect, data: bytes) -> None:
    client = raw()
    client.send(data)
    assert client.socket.recv(100) == b"AMQP\x00\x00\x09\x01"
    assert client.socket.recv(100) == b""


LYING_TABLE = m.encode_method(m.QueueDeclare(queue="q"))[:-4] + b"\x00\xff\xff\xff"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, 1, m.encode_method(m.QueueDeclare(queue="q")), end=0), 501),
        (b"\x01\x00\x01\x7f\xff\xff\xff", 501),
        (frame(77, 1, b"abc"), 501),
        (frame(1, 9, m.encode_method(m.QueueDeclare(queue="q"))), 504),
        (frame(3, 1, b"body without method"), 505),
        (frame(1, 1, LYING_TABLE), 501),
        (frame(1, 1, b"\x00\x3c\x03\xe7"), 503),
        (frame(1, 1, m.encode_method(m.BasicPublish())) + frame(2, 1, header_payload(0, b"\x20\x00\xff\xff\xff\xff")), 502),
    ],
)  # fmt: skip
def test_a_broken_rule_is_answered_with_its_code_and_the_connection_ends(raw: Connect, data: bytes, code: int) -> None:
    client = raw().open()
    client.send(data)
    assert client.refusal()[0] == code
    client.say(0, m.ConnectionCloseOk())
    assert client.hear() is None


def test_a_wrong_password_is_refused(raw: Connect) -> None:
    client = raw()
    client.start(b"\x00guest\x00wrong")
    code, text = client.refusal()
    assert code == 403 and text.startswith("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.")


@pytest.mark.parametrize(
    "tune",
    [m.ConnectionTuneOk(2047, 1 << 20, 60), m.ConnectionTuneOk(2047, 100, 60), m.ConnectionTuneOk(0, 131072, 60)],
)
def test_limits_can_be_lowered_not_raised(raw: Connect, tune: m.ConnectionTuneOk) -> None:
    client = raw()
    client.start(tune=tune)
    assert client.refusal()[0] == 530


def test_an_unknown_vhost_is_refused(raw: Connect) -> None:
    client = raw()
    client.start()
    client.say(0, m.ConnectionOpen(virtual_host="nope"))
    assert client.refusal() == (530, "NOT_ALLOWED - vhost nope not found")


def test_content_that_never_ends_harms_nobody(raw: Connect) -> None:
    client = raw().open()
    client.send(frame(1, 1, m.encode_method(m.BasicPublish())) + frame(2, 1, header_payload(1 << 20, b"\x00\x00")))
    client.send(frame(3, 1, bytes(1000)))
    client.close()


def test_a_message_above_the_limit_ends_its_channel(raw: Connect) -> None:
    client = raw().open()
    client.send(frame(1, 1, m.encode_method(m.BasicPublish())) + frame(2, 1, header_payload(1 << 40, b"\x00\x00")))
    closed = client.method()
    assert isinstance(closed, m.ChannelClose) and closed.reply_code == 406
    assert closed.reply_text.startswith("PRECONDITION_FAILED - message size")


HALF_OPEN = 10_000
HALF_OPEN_BYTES_MAX = 24 * 1024
IMPATIENT = """
from leveret.server.config import Config, Limits
from leveret.server.run import run
raise SystemExit(run(Config(port=0, memory=True, log_level="error", limits=Limits(handshake_s=5))))
"""


@pytest.fixture
def many_files() -> Iterator[int]:
    """How many files this process may have open, raised as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_half_open_connections_keep_nobody_out_and_are_cut_off(many_files: int) -> None:
    count = min(HALF_OPEN, many_files - 500)  # a machine may allow fewer
    process = subprocess.Popen([sys.executable, "-c", IMPATIENT], stdout=subprocess.PIPE, text=True)
    idle: list[socket.socket] = []
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(":")[2].split()[0].rstrip(":"))
        before = rss_bytes(process)
        for _ in range(count):
            idle.append(socket.create_connection(("127.0.0.1", port), timeout=30))
        witness = Raw(port).open()
        assert rss_bytes(process) - before < count * HALF_OPEN_BYTES_MAX
        for one in idle:
            assert one.recv(1) == b""
        witness.say(1, m.QueueDeclare(queue="q", exclusive=True))
        assert isinstance(witness.method(), m.QueueDeclareOk)
        witness.close()
    finally:
        process.kill()
        process.communicate()
        for one in idle:
            one.close()


def test_a_consumer_that_does_not_read_costs_no_memory(raw: Connect, leveret: Leveret) -> None:
    client = raw().open()
    client.say(1, m.QueueDeclare(queue="unread", auto_delete=False))
    client.method()
    client.say(1, m.BasicConsume(queue="unread"))
    client.method()
    with leveret.connect() as publisher:
        channel = publisher.channel()
        channel.confirm_delivery()
        before = rss_bytes(leveret.process)
        for _ in range(1000):
            channel.basic_publish("", "unread", bytes(256 * 1024))
        assert rss_bytes(leveret.process) - before < 128 * 1024 * 1024
        client.close()
        channel.queue_delete("unread")


def rss_bytes(process: subprocess.Popen[Any] | None) -> int:
    assert process is not None
    with open(f"/proc/{process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_sigterm_tells_clients_320_and_exits_0(tmp_path: object) -> None:
    own = Leveret(management=False)
    own.start()
    try:
        client = Raw(own.port).open()
        process = own.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        code, text = client.refusal()
        assert (code, text) == (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
        client.say(0, m.ConnectionCloseOk())
        assert process.wait(60) == 0
        client.close()
    finally:
        own.remove()
