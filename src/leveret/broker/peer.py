"""A client's connection as the broker sees it: what it owns, and the calls by which the broker reaches it.

The broker never writes to a socket: server/session derives from Peer and turns these calls into frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.consumer import Consumer
    from leveret.broker.queue import Queue
    from leveret.broker.vhost import VirtualHost
    from leveret.errors import AMQPError


@mypyc_attr(allow_interpreted_subclasses=True)
class Peer:
    def __init__(self) -> None:
        self.name: str = ""
        self.user: str = ""
        self.tags: tuple[str, ...] = ()
        self.vhost: VirtualHost | None = None
        self.channels: dict[int, Channel] = {}
        self.exclusive_queues: dict[str, Queue] = {}
        # True while its socket takes no more: its consumers get nothing. They wait in `waiting`.
        self.congested: bool = False
        self.waiting: list[Consumer] = []
        # Octets of the messages in its transactions.
        self.uncommitted: int = 0
        # True while its client leaves more unread than it may: direct replies to it are dropped.
        self.unread: bool = False

    def view(self) -> dict[str, object]:
        """The connection in the words of RabbitMQ's management API."""
        return {"name": self.name, "user": self.user}

    def place(self) -> dict[str, object]:
        """Where its client is, in the same words."""
        return {}

    def traffic(self) -> tuple[int, int, int, int]:
        """Octets received and sent, and in how many pieces."""
        return 0, 0, 0, 0

    def deliver(
        self,
        channel: int,
        tag: bytes,
        delivery_tag: int,
        redelivered: bool,
        address: bytes,
        header: bytes,
        body: bytes,
    ) -> None:
        """basic.deliver; `tag` and `address` are encoded short strings, `header` a header frame's payload."""
        raise NotImplementedError

    def return_unroutable(self, channel: int, exchange: str, routing_key: str, header: bytes, body: bytes) -> None:
        """basic.return with 312 NO_ROUTE."""
        raise NotImplementedError

    def consumer_cancelled(self, channel: int, tag: str) -> None:
        """The broker cancelled a consumer because its queue is gone."""
        raise NotImplementedError

    def close_channel(self, number: int, error: AMQPError) -> None:
        """channel.close, because of something that the client did not do in time."""
        raise NotImplementedError

    def force_close(self, reason: str) -> None:
        """connection.close with 320 CONNECTION_FORCED: an administrator ends the connection."""
        raise NotImplementedError

    def confirms_ready(self, channel: Channel) -> None:
        """The channel's confirms have something to tell; they are taken once per loop turn."""
        raise NotImplementedError

    def hold(self) -> None:
        """Do not read from the client until `release`; counted, so that several may ask."""
        raise NotImplementedError

    def release(self) -> None:
        """One reason less not to read."""
        raise NotImplementedError

    def spare_memory(self) -> None:
        """Memory runs short: what is only remembered to be faster is forgotten."""

    def unblock(self) -> None:
        """The last alarm is over: if it was blocked for publishing, it goes on."""

    def drained(self) -> None:
        """The socket takes data again: the consumers that waited get their turn."""
        self.congested = False
        waiting = self.waiting
        self.waiting = []
        for consumer in waiting:
            consumer.queue.resume(consumer)
