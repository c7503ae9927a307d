"""Peers that break no rule and still mean harm, or are broken: the broker cuts them off or bounds them, and serves the rest."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokers import Leveret
from certificates import Authority, ServerTls
from leveret.management.remote import fetch
from leveret.wire import events as e
from leveret.wire import methods as m
from leveret.wire.frames import CLOSE_OK, HEARTBEAT, header_payload, method_frame
from leveret.wire.methods import encode_method
from leveret.wire.spec import PROTOCOL_HEADER
from server.support import Raw
from server.test_bad_input import frame, rss_bytes

SETTINGS = "[limits]\nhandshake_s = 0.4\nclose_s = 0.4\nheartbeat_s = 0\nmessage_bytes_max = 33554432\n"
CUT_OFF_S = 15.0
"""Long enough for a busy machine; what is measured against it takes a thirtieth of that."""


class Impatient(Leveret):
    def command(self) -> list[str]:
        file = Path(self.directory) / "leveret.toml"
        file.write_text(SETTINGS)
        return [*super().command(), "--config", str(file)]


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def broker(authority: Authority) -> Iterator[Leveret]:
    own = Impatient(management=True, tls=ServerTls(authority, verify=False))
    own.start()
    yield own
    own.remove()


Connect = Callable[[], Raw]


@pytest.fixture
def connect(broker: Leveret) -> Iterator[Connect]:
    """Raw clients; at the end a client that keeps to the rules is served, and nothing of the others is left."""
    made: list[Raw] = []

    def connected() -> Raw:
        made.append(Raw(broker.port))
        return made[-1]

    yield connected
    for one in made:
        one.close()
    with broker.connect() as witness:
        channel = witness.channel()
        channel.confirm_delivery()
        own = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", own, b"well", mandatory=True)
        assert channel.basic_get(own, auto_ack=True)[2] == b"well"
    until = time.monotonic() + CUT_OFF_S
    while fetch(broker.management_url, "/api/connections"):
        assert time.monotonic() < until, "a connection is stuck"
    assert "Traceback" not in broker.output()


# ---- handshakes that do not end

STAGES = [
    PROTOCOL_HEADER,
    method_frame(0, encode_method(m.ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US"))),
    method_frame(0, encode_method(m.ConnectionTuneOk(2047, 131_072, 0))),
    method_frame(0, encode_method(m.ConnectionOpen(virtual_host="/"))),
]


def trickled(link: socket.socket, stage: int) -> float:
    """Seconds until the broker hangs up on a client that says everything up to `stage`, and that octet by octet."""
    begun = time.monotonic()
    try:
        for said in STAGES[:stage]:
            link.sendall(said)
            if said is not STAGES[2]:
                link.recv(65_536)
        for octet in STAGES[stage][:-1]:
            link.sendall(bytes((octet,)))
            if select.select([link], [], [], 0.05)[0] and not link.recv(65_536):
                break
        else:
            link.recv(65_536)
    except OSError:
        pass
    return time.monotonic() - begun


@pytest.mark.parametrize("stage", range(4), ids=["header", "start-ok", "tune-ok", "open"])
def test_a_handshake_octet_by_octet_is_cut_off(connect: Connect, stage: int) -> None:
    assert 0.2 < trickled(connect().socket, stage) < CUT_OFF_S


BROKEN = frame(1, 0, b"", end=0)
ENDINGS = {
    "broken and closed": BROKEN + CLOSE_OK,
    "closed": method_frame(0, encode_method(m.ConnectionClose())),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
@pytest.mark.parametrize("stage", range(4), ids=["header", "start-ok", "tune-ok", "open"])
def test_a_handshake_that_is_over_in_the_piece_in_which_it_goes_on(connect: Connect, stage: int, ending: bytes) -> None:
    link = connect().socket
    for said in STAGES[:stage]:
        link.sendall(said)
        if said is not STAGES[2]:
            link.recv(65_536)
    link.sendall(STAGES[stage] + ending)
    with contextlib.suppress(ConnectionResetError):
        while link.recv(65_536):
            pass


def test_over_tls_as_well(connect: Connect, broker: Leveret, authority: Authority) -> None:
    plain = socket.create_connection(("127.0.0.1", broker.tls_port), timeout=60)
    with authority.context().wrap_socket(plain, server_hostname="localhost") as link:
        assert 0.2 < trickled(link, 1) < CUT_OFF_S


def test_a_handshake_of_tls_octet_by_octet_is_cut_off(connect: Connect, broker: Leveret, authority: Authority) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = authority.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", broker.tls_port), timeout=60) as link:
        try:
            for octet in outgoing.read()[:-1]:
                link.sendall(bytes((octet,)))
                if select.select([link], [], [], 0.05)[0] and not link.recv(65_536):
                    break
        except OSError:
            pass
    assert 0.2 < time.monotonic() - begun < CUT_OFF_S


def test_a_client_that_does_not_answer_close_is_cut_off_though_nobody_beats(connect: Connect, broker: Leveret) -> None:
    client = connect().open()
    (name,) = [one["name"] for one in fetch(broker.management_url, "/api/connections")]
    closed = subprocess.run(
        [sys.executable, "-m", "leveret", "close-connection", name, "test", "--management", broker.management_url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert closed.returncode == 0, closed.stderr
    assert client.refusal()[0] == 320
    begun = time.monotonic()
    assert client.hear() is None
    assert time.monotonic() - begun < CUT_OFF_S


# ---- floods


def test_a_flood_of_heartbeats_and_empty_frames_costs_no_memory(connect: Connect, broker: Leveret) -> None:
    client = connect().open()
    publish = method_frame(1, encode_method(m.BasicPublish(routing_key="nowhere")))
    client.send(publish + frame(2, 1, header_payload(1, b"\0\0")))
    before = rss_bytes(broker.process)
    for _ in range(30):
        client.send((HEARTBEAT + frame(3, 1, b"")) * 8_000)
    client.send(frame(3, 1, b"x"))
    client.say(1, m.BasicQos())
    assert isinstance(client.method(), m.BasicQosOk)
    assert rss_bytes(broker.process) - before < 16 << 20


def test_a_body_in_frames_of_two_octets_costs_what_it_is_long(connect: Connect, broker: Leveret) -> None:
    octets = 2 << 20
    client = connect().open()
    client.say(1, m.QueueDeclare(queue="long", exclusive=True))
    client.method()
    before = rss_bytes(broker.process)
    client.send(method_frame(1, encode_method(m.BasicPublish(routing_key="long"))))
    client.send(frame(2, 1, header_payload(octets + 2, b"\0\0")))
    for _ in range(octets // 2 // 8_192):
        client.send(frame(3, 1, b"ab") * 8_192)
    client.say(2, m.ChannelOpen())
    assert isinstance(client.method(), m.ChannelOpenOk)
    assert rss_bytes(broker.process) - before < 3 * octets + (6 << 20)
    client.send(frame(3, 1, b"ab"))
    client.say(1, m.BasicGet(queue="long"))
    got = client.hear()
    assert isinstance(got, e.Content) and got.body == b"ab" * (octets // 2 + 1)


def test_a_flood_of_routing_keys_costs_little_memory(connect: Connect, broker: Leveret) -> None:
    client = connect().open()
    before = rss_bytes(broker.process)
    for number in range(30_000):
        client.wire.send_content(1, m.BasicPublish(routing_key=f"{number:0>250}"), b"\0\0", b"")
    client.flush()
    client.say(1, m.BasicQos())
    assert isinstance(client.method(), m.BasicQosOk)
    assert rss_bytes(broker.process) - before < 8 << 20


def test_logins_that_fail_leave_nothing(connect: Connect) -> None:
    for _ in range(50):
        client = connect()
        client.start(b"\0guest\0wrong")
        assert client.refusal()[0] == 403


# ---- those who ask and do not read

LARGE = 4 << 20


def test_gets_without_end_of_a_large_message_are_answered_as_they_are_read(connect: Connect, broker: Leveret) -> None:
    client = connect().open()
    client.say(1, m.QueueDeclare(queue="large", exclusive=True))
    client.method()
    client.wire.send_content(1, m.BasicPublish(routing_key="large"), b"\0\0", bytes(LARGE))
    client.flush()
    before = rss_bytes(broker.process)
    for tag in range(1, 301):
        client.wire.send(1, m.BasicGet(queue="large"))
        client.wire.send(1, m.BasicReject(delivery_tag=tag, requeue=True))
    client.flush()
    with broker.connect() as other:
        other.channel()
    assert rss_bytes(broker.process) - before < 16 * LARGE
    for tag in range(1, 301):
        got = client.hear()
        assert isinstance(got, e.Content) and isinstance(got.method, m.BasicGetOk)
        assert (got.method.delivery_tag, len(got.body)) == (tag, LARGE)
    client.say(1, m.BasicQos())
    assert isinstance(client.method(), m.BasicQosOk)


def test_returns_that_are_not_read_stop_the_reading(connect: Connect, broker: Leveret) -> None:
    client = connect().open()
    client.socket.settimeout(1)
    client.wire.send_content(1, m.BasicPublish(routing_key="nowhere", mandatory=True), b"\0\0", bytes(100_000))
    message = client.wire.take()
    before = rss_bytes(broker.process)
    with pytest.raises(TimeoutError):
        for _ in range(2_000):
            client.send(message)
    assert rss_bytes(broker.process) - before < 48 << 20


# ---- acknowledging: never, twice


def test_acknowledging_everything_twice_ends_that_channel_alone(connect: Connect) -> None:
    client = connect().open()
    client.say(2, m.ChannelOpen())
    client.method()
    client.say(1, m.QueueDeclare(queue="twice", exclusive=True))
    client.method()
    for number in range(100):
        client.wire.send_content(1, m.BasicPublish(routing_key="twice"), b"\0\0", b"%d" % number)
    client.say(1, m.BasicConsume(queue="twice"))
    assert isinstance(client.method(), m.BasicConsumeOk)
    tags = [one.delivery_tag for one in (client.hear() for _ in range(100)) if isinstance(one, e.Delivery)]
    for tag in [*tags, *tags]:
        client.wire.send(1, m.BasicAck(delivery_tag=tag))
    client.flush()
    closed = client.method()
    assert isinstance(closed, m.ChannelClose)
    assert (closed.reply_code, closed.reply_text) == (406, "PRECONDITION_FAILED - unknown delivery tag 1")
    client.say(1, m.ChannelCloseOk())
    client.say(2, m.QueueDeclare(queue="twice", passive=True))
    answer = client.method()
    assert isinstance(answer, m.QueueDeclareOk) and answer.message_count == 0


def test_a_consumer_that_never_acknowledges_keeps_nothing_from_the_others(connect: Connect) -> None:
    holder, worker = connect().open(), connect().open()
    holder.say(1, m.QueueDeclare(queue="held", auto_delete=True))
    holder.method()
    for client, prefetch in ((holder, 10), (worker, 1)):
        client.say(1, m.BasicQos(prefetch_count=prefetch))
        client.method()
        client.say(1, m.BasicConsume(queue="held"))
        client.method()
    publisher = connect().open()
    for number in range(200):
        publisher.wire.send_content(1, m.BasicPublish(routing_key="held"), b"\0\0", b"%d" % number)
    publisher.flush()
    done = set()
    while len(done) < 190:
        delivery = worker.hear()
        assert isinstance(delivery, e.Delivery)
        done.add(delivery.body)
        worker.say(1, m.BasicAck(delivery_tag=delivery.delivery_tag))
    holder.close()
    while len(done) < 200:
        delivery = worker.hear()
        assert isinstance(delivery, e.Delivery) and delivery.redelivered
        done.add(delivery.body)
        worker.say(1, m.BasicAck(delivery_tag=delivery.delivery_tag))


# ---- compressed content


def test_compressed_content_is_passed_on_as_it_came(connect: Connect) -> None:
    client = connect().open()
    client.say(1, m.QueueDeclare(queue="zip", exclusive=True))
    client.method()
    body = b"\x1f\x8b\x08\0" + bytes(100)  # how a bomb begins
    properties = b"\x40\x00\x04gzip"
    client.wire.send_content(1, m.BasicPublish(routing_key="zip"), properties, body)
    client.say(1, m.BasicGet(queue="zip"))
    got = client.hear()
    assert isinstance(got, e.Content) and (got.header[12:], got.body) == (properties, body)


# ---- more connections than there are files

FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from pathlib import Path
from leveret.server.config import Config, Limits, Management
from leveret.server.run import run
limits = Limits(handshake_s=1)
raise SystemExit(run(Config(port=0, data=Path({data!r}), log_level="error", limits=limits,
                            management=Management(enabled=False))))
"""


def test_a_flood_beyond_the_systems_limit_of_files_leaves_the_store_its_own(tmp_path: Path) -> None:
    code = FEW_FILES.format(data=str(tmp_path / "data"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    flood: list[socket.socket] = []
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(":")[2].split()[0].rstrip(":"))
        early = Raw(port).open()
        for _ in range(400):
            flood.append(socket.create_connection(("127.0.0.1", port), timeout=60))
        early.say(1, m.ConfirmSelect())
        assert isinstance(early.method(), m.ConfirmSelectOk)
        for number in range(20):
            early.say(1, m.QueueDeclare(queue=f"kept{number}", durable=True))
            assert isinstance(early.method(), m.QueueDeclareOk)
            early.wire.send_content(1, m.BasicPublish(routing_key=f"kept{number}"), b"\x10\0\2", b"safe")
            early.flush()
            assert isinstance(early.hear(), e.Ack)
        for one in flood:
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(1) == b""
        Raw(port).open().close()
        early.close()
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
        for one in flood:
            one.close()
