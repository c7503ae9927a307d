"""Every limit on clients, at its edge and one beyond, on the wire: what is refused, in which words, and that it goes on after."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokers import Leveret
from leveret.wire import events as e
from leveret.wire import methods as m
from leveret.wire.frames import header_payload, method_frame
from leveret.wire.values import encode_longstr
from server.support import Raw

LIMITS = """
[limits]
frame_max = 16384
channel_max = 3
connections_max = 3
consumers_max = 3
unacked_max = 5
queues_max = 3
exchanges_max = 9
bindings_max = 2
nesting_max = 10
message_bytes_max = 10_000
unfinished_bytes_max = 20_000
"""


class Narrow(Leveret):
    """A broker that allows very little of everything."""

    def command(self) -> list[str]:
        file = Path(self.directory) / "leveret.toml"
        file.write_text(LIMITS)
        return [*super().command(), "--config", str(file)]


@pytest.fixture(scope="module")
def narrow() -> Iterator[Leveret]:
    own = Narrow(management=False)
    own.start()
    yield own
    own.remove()


Connect = Callable[[], Raw]


@pytest.fixture
def connect(narrow: Leveret) -> Iterator[Connect]:
    """Connections through the handshake with channel 1 open; at the end all are closed, and all that was exclusive goes."""
    made: list[Raw] = []

    def connected() -> Raw:
        made.append(Raw(narrow.port))
        return made[-1].open()

    yield connected
    for one in made:
        end(one)


def end(client: Raw) -> None:
    """Leave, and wait until the broker has noticed."""
    try:
        client.socket.shutdown(socket.SHUT_WR)
        while client.socket.recv(65536):
            pass
    except OSError:
        pass
    client.close()


def ask(client: Raw, channel: int, method: m.Method) -> m.Method:
    client.say(channel, method)
    return client.method()


def refusal(answer: m.Method) -> tuple[type[m.Method], int, str]:
    assert isinstance(answer, m.ChannelClose | m.ConnectionClose), answer
    return type(answer), answer.reply_code, answer.reply_text


def declared(client: Raw, name: str) -> m.Method:
    return ask(client, 1, m.QueueDeclare(queue=name, exclusive=True))


def published(client: Raw, *bodies: bytes, key: str = "a") -> None:
    for body in bodies:
        client.wire.send_content(1, m.BasicPublish(routing_key=key), b"\0\0", body)
    client.flush()


def test_connections(connect: Connect, narrow: Leveret) -> None:
    others = [connect() for _ in range(3)]
    refused = Raw(narrow.port)
    refused.start()
    refused.say(0, m.ConnectionOpen(virtual_host="/"))
    text = "NOT_ALLOWED - connection refused: node connection limit (3) is reached"
    assert refusal(refused.method()) == (m.ConnectionClose, 530, text)
    refused.close()
    end(others.pop())
    connect()


def test_channels(connect: Connect) -> None:
    client = connect()
    for number in (2, 3):
        assert isinstance(ask(client, number, m.ChannelOpen()), m.ChannelOpenOk)
    text = "NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)"
    assert refusal(ask(client, 4, m.ChannelOpen())) == (m.ConnectionClose, 530, text)


def test_consumers_of_a_channel(connect: Connect) -> None:
    client = connect()
    declared(client, "a")
    for tag in ("1", "2", "3"):
        assert isinstance(ask(client, 1, m.BasicConsume(queue="a", consumer_tag=tag)), m.BasicConsumeOk)
    ask(client, 1, m.BasicCancel(consumer_tag="2"))
    assert isinstance(ask(client, 1, m.BasicConsume(queue="a", consumer_tag="4")), m.BasicConsumeOk)
    text = "NOT_ALLOWED - reached maximum (3) of consumers per channel"
    assert refusal(ask(client, 1, m.BasicConsume(queue="a", consumer_tag="5"))) == (m.ConnectionClose, 530, text)


def test_deliveries_stop_at_the_limit_of_unacknowledged_ones_and_go_on_with_an_ack(connect: Connect) -> None:
    client = connect()
    declared(client, "a")
    published(client, *(b"%d" % number for number in range(7)))
    client.say(1, m.BasicQos(prefetch_count=100, global_=True))
    assert isinstance(client.method(), m.BasicQosOk)
    client.say(1, m.BasicConsume(queue="a"))
    assert isinstance(client.method(), m.BasicConsumeOk)
    got = [client.hear() for _ in range(5)]
    assert [one.body for one in got if isinstance(one, e.Delivery)] == [b"0", b"1", b"2", b"3", b"4"]
    client.say(1, m.BasicQos(prefetch_count=0, global_=True))  # an answer: nothing was delivered before it
    assert isinstance(client.method(), m.BasicQosOk)
    client.say(1, m.BasicAck(delivery_tag=1))
    sixth = client.hear()
    assert isinstance(sixth, e.Delivery) and sixth.body == b"5"


def test_gets_beyond_the_limit_of_unacknowledged_ones_end_the_channel(connect: Connect) -> None:
    client = connect()
    declared(client, "a")
    published(client, *[b"m"] * 6)
    for _ in range(5):
        client.say(1, m.BasicGet(queue="a"))
        assert isinstance(client.hear(), e.Content)
    client.say(1, m.BasicGet(queue="a", no_ack=True))
    assert isinstance(client.hear(), e.Content)
    text = "PRECONDITION_FAILED - channel 1 holds 5 unacknowledged messages, as many as it may"
    assert refusal(ask(client, 1, m.BasicGet(queue="a"))) == (m.ChannelClose, 406, text)


def test_queues(connect: Connect) -> None:
    client = connect()
    for name in "abc":
        assert isinstance(declared(client, name), m.QueueDeclareOk)
    assert isinstance(declared(client, "c"), m.QueueDeclareOk)
    text = "PRECONDITION_FAILED - cannot declare queue 'd': queue limit (3) is reached"
    assert refusal(declared(client, "d")) == (m.ChannelClose, 406, text)


def test_exchanges(connect: Connect) -> None:
    client = connect()
    names = ["x1", "x2"]
    for name in [*names, "x1"]:
        assert isinstance(ask(client, 1, m.ExchangeDeclare(exchange=name, type="fanout")), m.ExchangeDeclareOk)
    answer = ask(client, 1, m.ExchangeDeclare(exchange="x3", type="fanout"))
    text = "PRECONDITION_FAILED - cannot declare exchange 'x3': exchange limit of 9 is reached"
    assert refusal(answer) == (m.ChannelClose, 406, text)
    client.say(1, m.ChannelCloseOk())
    ask(client, 1, m.ChannelOpen())
    for name in names:
        ask(client, 1, m.ExchangeDelete(exchange=name))


def test_bindings_are_counted_until_they_or_their_ends_are_gone(connect: Connect) -> None:
    client = connect()

    def bound(queue: str, key: str) -> m.Method:
        return ask(client, 1, m.QueueBind(queue=queue, exchange="amq.direct", routing_key=key))

    declared(client, "a")
    declared(client, "b")
    for queue, key in (("a", "1"), ("b", "2"), ("a", "1")):
        assert isinstance(bound(queue, key), m.QueueBindOk)
    ask(client, 1, m.QueueUnbind(queue="a", exchange="amq.direct", routing_key="1"))
    assert isinstance(bound("a", "3"), m.QueueBindOk)
    ask(client, 1, m.QueueDelete(queue="b"))
    assert isinstance(bound("a", "4"), m.QueueBindOk)
    text = "PRECONDITION_FAILED - cannot bind: binding limit (2) is reached"
    assert refusal(bound("a", "5")) == (m.ChannelClose, 406, text)


def nested(levels: int, kind: bytes = b"F") -> bytes:
    """A table with so many levels of tables or arrays in it, encoded."""
    value = b"V"
    for level in range(levels):
        value = kind + encode_longstr(b"\x01x" + value if kind == b"F" and level else b"" if not level else value)
    return encode_longstr(b"\x01x" + value)


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_nesting_of_arguments(connect: Connect, kind: bytes) -> None:
    declare = m.encode_method(m.QueueDeclare(queue="a", exclusive=True))[:-4]
    client = connect()
    client.send(method_frame(1, declare + nested(10, kind)))
    assert isinstance(client.method(), m.QueueDeclareOk)
    for levels in (11, 1000):
        client = connect()
        client.send(method_frame(1, declare + nested(levels, kind)))
        text = "FRAME_ERROR - a field table is nested more than 10 deep"
        assert refusal(client.method()) == (m.ConnectionClose, 501, text)
        end(client)


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_nesting_of_headers(connect: Connect, kind: bytes) -> None:
    for levels, fine in ((10, True), (11, False), (1000, False)):
        client = connect()
        declared(client, "a")
        header = header_payload(0, b"\x20\x00" + nested(levels, kind))
        client.wire.pass_content(1, m.BasicPublish(routing_key="a"), header, b"")
        client.flush()
        client.say(1, m.BasicGet(queue="a", no_ack=True))
        if fine:
            got = client.hear()
            assert isinstance(got, e.Content) and got.header == header
        else:
            text = "SYNTAX_ERROR - headers are nested deeper than is allowed"
            assert refusal(client.method()) == (m.ConnectionClose, 502, text)
        end(client)


def test_frames(connect: Connect) -> None:
    client = connect()
    declared(client, "a")
    header = header_payload(0, b"\x20\x00" + encode_longstr(b"\x01xx" + encode_longstr(bytes(16_384 - 8 - 25))))
    assert len(header) + 8 == 16_384
    client.wire.pass_content(1, m.BasicPublish(routing_key="a"), header, b"")
    client.flush()
    client.say(1, m.BasicGet(queue="a", no_ack=True))
    got = client.hear()
    assert isinstance(got, e.Content) and got.header == header
    client.wire.pass_content(1, m.BasicPublish(routing_key="a"), header + b"\0", b"")
    client.flush()
    text = "FRAME_ERROR - type 2: frame of 16385 octets is larger than frame_max 16384"
    assert refusal(client.method()) == (m.ConnectionClose, 501, text)


def test_message_bodies(connect: Connect) -> None:
    client = connect()
    declared(client, "a")
    published(client, bytes(10_000))
    client.say(1, m.BasicGet(queue="a", no_ack=True))
    assert isinstance(client.hear(), e.Content)
    published(client, bytes(10_001))
    text = "PRECONDITION_FAILED - message size 10001 is larger than configured max size 10000"
    assert refusal(client.method()) == (m.ChannelClose, 406, text)


def begun(client: Raw, octets: int) -> None:
    """A message of 10,000 octets of which only so many come, and an answer that shows that they have come."""
    client.wire.send_content(1, m.BasicPublish(), b"\0\0", bytes(10_000))
    whole = client.wire.take()
    end_of_header = whole.index(b"\x03\x00\x01")
    frames = [b"\x03\x00\x01" + size.to_bytes(4, "big") + bytes(size) + b"\xce" for size in _cut(octets)]
    client.send(whole[:end_of_header] + b"".join(frames))
    assert isinstance(ask(client, 2, m.BasicQos()), m.BasicQosOk)


def _cut(octets: int) -> list[int]:
    return [min(4_000, octets - start) for start in range(0, octets, 4_000)]


def unfinished(octets: int) -> tuple[type[m.Method], int, str]:
    text = f"RESOURCE_ERROR - {octets} octets of frames, messages or transactions were begun and not finished"
    return m.ConnectionClose, 506, f"{text}: all connections together may have 20000"


def test_messages_that_do_not_end_close_the_connection_that_has_most(connect: Connect) -> None:
    small, large, other = (connect() for _ in range(3))
    for client in (small, large, other):
        ask(client, 2, m.ChannelOpen())
    begun(small, 3_000)
    begun(large, 9_000)
    begun(other, 8_000)
    other.send(b"\x08")  # the beginning of a frame: one octet too many
    assert refusal(large.method()) == unfinished(9_000)
    for client, missing in ((small, 7_000), (other, 0)):
        if missing:
            frames = [b"\x03\x00\x01" + size.to_bytes(4, "big") + bytes(size) + b"\xce" for size in _cut(missing)]
            client.send(b"".join(frames))
        else:
            client.send(b"\0\0\0\0\0\0\xce")
        assert isinstance(ask(client, 2, m.BasicQos()), m.BasicQosOk)


def test_transactions_that_do_not_end_close_their_connection(connect: Connect) -> None:
    client = connect()
    ask(client, 1, m.TxSelect())
    published(client, bytes(9_000), bytes(9_000))
    assert isinstance(ask(client, 1, m.TxCommit()), m.TxCommitOk)
    published(client, bytes(9_000), bytes(9_000))
    assert isinstance(ask(client, 1, m.TxRollback()), m.TxRollbackOk)
    published(client, bytes(9_000), bytes(9_000), bytes(2_000))
    assert refusal(client.method()) == unfinished(20_000 + 3 * (300 + 14))
