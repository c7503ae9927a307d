"""A broker's end without a socket: the wire's server machine, joined to the client's link inside one event loop.

It answers what a broker answers unless a test says otherwise (`answers`), remembers what came (`methods`, `published`),
and sends what a test likes (`send`, `feed`). `FakeBroker.plug` puts it where the client opens its sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from leveret.client import Backoff, handshake
from leveret.client.transport import Link
from leveret.client.url import Endpoint, Target
from leveret.wire.connection import Connection as Machine
from leveret.wire.events import (
    Ack,
    Event,
    HeaderReceived,
    Heartbeat,
    MethodReceived,
    ProtocolFailure,
    Publish,
)
from leveret.wire.machine import CHANNEL_CLOSING
from leveret.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGetOk,
    BasicQosOk,
    ChannelCloseOk,
    ChannelOpenOk,
    ConfirmSelectOk,
    ConnectionCloseOk,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionTune,
    Method,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
)

Answer = Callable[[Method], Method | None]


def _declared(method: Method) -> Method:
    assert isinstance(method, QueueDeclare)
    return QueueDeclareOk(method.queue or "amq.gen-fake", 0, 0)


def _consuming(method: Method) -> Method:
    assert isinstance(method, BasicConsume)
    return BasicConsumeOk(method.consumer_tag)


def _cancelling(method: Method) -> Method | None:
    assert isinstance(method, BasicCancel)
    return None if method.no_wait else BasicCancelOk(method.consumer_tag)


ANSWERS: dict[str, Answer] = {
    "connection.start-ok": lambda _: ConnectionTune(2047, 131072, 60),
    "connection.open": lambda _: ConnectionOpenOk(),
    "connection.close": lambda _: ConnectionCloseOk(),
    "channel.open": lambda _: ChannelOpenOk(),
    "channel.close": lambda _: ChannelCloseOk(),
    "queue.declare": _declared,
    "queue.bind": lambda _: QueueBindOk(),
    "basic.qos": lambda _: BasicQosOk(),
    "basic.consume": _consuming,
    "basic.cancel": _cancelling,
    "confirm.select": lambda _: ConfirmSelectOk(),
}


class FakeTransport(asyncio.Transport):
    """What the link writes goes to the server's machine in the next turn of the loop."""

    def __init__(self, server: FakeBroker, link: Link) -> None:
        super().__init__()
        self._server = server
        self._link = link
        self.writes = 0
        self.gone = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        self._link.loop.call_soon(self._server.hear, bytes(data))

    def close(self) -> None:
        self.gone = True

    def abort(self) -> None:
        self.gone = True


class FakeBroker:
    """One after the other, every link that is opened while it is plugged in; `machine` and `link` are the last's."""

    def __init__(self) -> None:
        self.answers = dict(ANSWERS)
        self.methods: list[tuple[int, Method]] = []
        self.published: list[Publish] = []
        self.acked: list[Ack] = []
        self.heartbeats = 0
        self.failures: list[ProtocolFailure] = []
        self.links = 0
        self.machine = Machine(server=True)
        self.link: Link | None = None
        self.transport: FakeTransport | None = None

    def plug(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def connect(link: Link, endpoint: Endpoint, target: Target) -> None:
            self.links += 1
            self.machine = Machine(server=True)
            self.link = link
            self.transport = FakeTransport(self, link)
            link.connection_made(self.transport)

        monkeypatch.setattr(handshake, "_connect", connect)

    def hear(self, data: bytes) -> None:
        for event in self.machine.receive(data):
            self._take(event)
        self.flush()

    def _take(self, event: Event) -> None:
        channel = self.machine.channels.get(event.channel)
        if channel is not None and channel.state == CHANNEL_CLOSING:
            return  # it came in the same octets as what closed the channel, behind that
        if isinstance(event, HeaderReceived):
            self.machine.send(0, ConnectionStart(0, 9, {"product": "fake"}, b"PLAIN", b"en_US"))
        elif isinstance(event, MethodReceived):
            self.methods.append((event.channel, event.method))
            answer = self.answers.get(event.method.name, lambda _: None)(event.method)
            if answer is not None:
                self.machine.send(event.channel, answer)
        elif isinstance(event, Publish):
            self.published.append(event)
        elif isinstance(event, Ack):
            self.acked.append(event)
        elif isinstance(event, Heartbeat):
            self.heartbeats += 1
        elif isinstance(event, ProtocolFailure):
            self.failures.append(event)

    def send(self, channel: int, method: Method) -> None:
        self.machine.send(channel, method)
        self.flush()

    def confirm(self, channel: int, number: int, multiple: bool = False) -> None:
        self.machine.ack(channel, number, multiple)
        self.flush()

    def answer_get(self, channel: int, number: int, body: bytes) -> None:
        self.machine.send_content(channel, BasicGetOk(number, False, "", "q", 0), b"\x00\x00", body)
        self.flush()

    def deliver(self, channel: int, tag: str, number: int, body: bytes, redelivered: bool = False) -> None:
        short = bytes((len(tag),)) + tag.encode()
        header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x00\x00"
        self.machine.deliver(channel, short, number, redelivered, b"\x00\x01q", header, body)
        self.flush()

    def flush(self) -> None:
        data = self.machine.take()
        if data:
            self.feed(data)

    def feed(self, data: bytes) -> None:
        """Octets for the client as they stand."""
        link = self.link
        assert link is not None
        if link.error is None:
            link.loop.call_soon(link.data_received, data)

    def cut(self) -> None:
        """End the link as a lost socket does."""
        assert self.link is not None
        self.link.connection_lost(None)

    def named(self, name: str) -> list[Method]:
        """Everything that came under this name, in order."""
        return [method for _, method in self.methods if method.name == name]


async def until(condition: Callable[[], object], turns_max: int = 1000) -> None:
    """Let the event loop go round until `condition` holds."""
    for _ in range(turns_max):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition does not come true")


def at_once() -> Backoff:
    """Attempts to reconnect without pauses."""
    return Backoff(sleep=lambda _: asyncio.sleep(0))


async def turns(count: int = 6) -> None:
    """Let the event loop go round: enough for a request and its answer."""
    for _ in range(count):
        await asyncio.sleep(0)
