"""A broker without sockets, on virtual time, and a client that remembers what reached it."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

from leveret.broker import basic
from leveret.broker.broker import Broker
from leveret.broker.channel import Channel
from leveret.broker.confirms import Confirms
from leveret.broker.message import Message
from leveret.broker.peer import Peer
from leveret.broker.queue import Queue
from leveret.errors import AMQPError
from leveret.store.database import Database
from leveret.store.store import Store
from leveret.wire.events import Address
from leveret.wire.frames import header_payload
from leveret.wire.properties import BasicProperties, encode_properties


class Client(Peer):
    """A connection that remembers what reached it."""

    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self.user = "guest"
        self.got: list[tuple[int, int, bool, bytes]] = []
        self.returned: list[bytes] = []
        self.cancelled: list[str] = []
        self.held = 0
        self.closed: list[tuple[int, int, str]] = []
        self.forced: list[str] = []
        self.broker = broker

    def channel(self, number: int = 1, confirms: bool = False) -> Channel:
        channel = Channel(number, self, self.broker.vhosts["/"])
        self.channels[number] = channel
        if confirms:
            channel.confirms = Confirms(channel)
        return channel

    def force_close(self, reason: str) -> None:
        self.forced.append(reason)
        self.broker.disconnect(self)

    def deliver(
        self, channel: int, tag: bytes, delivery_tag: int, redelivered: bool, address: bytes, header: bytes, body: bytes
    ) -> None:
        self.got.append((channel, delivery_tag, redelivered, body))

    def return_unroutable(self, channel: int, exchange: str, routing_key: str, header: bytes, body: bytes) -> None:
        self.returned.append(body)

    def consumer_cancelled(self, channel: int, tag: str) -> None:
        self.cancelled.append(tag)

    def close_channel(self, number: int, error: AMQPError) -> None:
        self.closed.append((number, error.code, error.text))
        self.channels.pop(number).close()

    def confirms_ready(self, channel: Channel) -> None:
        pass

    def hold(self) -> None:
        self.held += 1

    def release(self) -> None:
        self.held -= 1

    def bodies(self) -> list[bytes]:
        return [body for _, _, _, body in self.got]


class World:
    """A broker whose store's reports are made by hand."""

    def __init__(
        self,
        directory: Path | None,
        consumer_timeout_ms: int = 0,
        open_database: Callable[[Path], Database] = Database,
    ) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.failures: list[BaseException] = []
        self.store = Store(directory, self.calls.put, self.failures.append, open_database)
        self.broker = Broker(self.store, consumer_timeout_ms=consumer_timeout_ms)
        self.broker.recover(self.store.recover())
        self.store.start()
        self.broker.at(1_000_000)

    def client(self) -> Client:
        return Client(self.broker)

    def queue(self, name: str = "q", durable: bool = True, **arguments: object) -> Queue:
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.broker.vhosts["/"].declare_queue(name, durable, False, False, given, self.client())

    def publish(self, channel: Channel, body: bytes, key: str = "q", mandatory: bool = False, **given: object) -> None:
        self.publish_to(channel, self.address(key, mandatory), body, **given)

    def address(self, key: str, mandatory: bool = False, exchange: str = "") -> Address:
        encoded = b"".join(bytes((len(name),)) + name.encode() for name in (exchange, key))
        return Address(exchange, key, mandatory, False, encoded)

    def publish_to(self, channel: Channel, address: Address, body: bytes, **given: object) -> None:
        properties = encode_properties(BasicProperties(delivery_mode=2, **given))  # type: ignore[arg-type]
        self.broker.routers["/"].publish(channel, address, header_payload(len(body), properties), body)

    def settle(self) -> None:
        self.broker.flush()
        while self.store._committing is not None:
            self.calls.get(timeout=60)()
            self.broker.flush()


def held(channel: Channel) -> dict[int, Message]:
    """What the channel delivered and nobody has acknowledged, by delivery tag."""
    return {tag: message for block in channel.unacked.blocks() for tag, message in block.items()}


def consume(channel: Channel, target: Queue, prefetch: int = 0, tag: str = "", no_ack: bool = False) -> str:
    channel.prefetch = prefetch
    tag = tag or f"c{len(channel.consumers)}-{channel.number}"
    basic.start(basic.consume(channel, target, tag, no_ack, False, {}))
    return tag
