"""Direct reply-to: answers go straight to the channel that asked, without a queue between (RabbitMQ's direct-reply-to).

A channel consumes from the pseudo-queue `amq.rabbitmq.reply-to`; its requests then carry a name that only those who got
one know, and what is published to that name through the default exchange is delivered on the channel. Nothing is kept:
an answer to a channel that is gone is unroutable. Used by broker/router for messages and by server/verbs for methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.exchange import Destination
from leveret.errors import ChannelError
from leveret.wire.scan import REPLY_TO, Scan

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.confirms import Confirms
    from leveret.broker.peer import Peer
    from leveret.broker.vhost import VirtualHost


class ReplyConsumer(Destination):
    """A channel that waits for answers under a name of its own; the one of its channel."""

    def __init__(self, channel: Channel, tag: str) -> None:
        super().__init__("reply", f"{REPLY_TO}.{channel.vhost.commons.random_name()}")
        self.channel: Final = channel
        self.tag: Final = tag
        encoded = tag.encode("utf-8", "surrogateescape")
        self._tag_encoded: Final = bytes((len(encoded),)) + encoded

    def publish(
        self,
        address: bytes,
        header: bytes,
        body: bytes,
        scan: Scan,
        expiration_ms: int,
        confirms: Confirms | None,
        sequence: int,
        peer: Peer | None,
    ) -> None:
        if confirms is not None:
            confirms.settle(sequence)
        channel = self.channel
        if channel.replies is self and not channel.peer.unread:
            tag = channel.next_tag()
            channel.peer.deliver(channel.number, self._tag_encoded, tag, False, address, header, body)

    def cancel(self) -> None:
        """No more answers: the name is dead for ever."""
        self.channel.vhost.replies.pop(self.name, None)
        self.channel.replies = None


def consume(channel: Channel, tag: str, no_ack: bool) -> None:
    """basic.consume of the pseudo-queue, with a tag that is free."""
    if not no_ack:
        raise ChannelError(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
    if channel.replies is not None:
        raise ChannelError(406, "PRECONDITION_FAILED - reply consumer already set")
    consumer = ReplyConsumer(channel, tag)
    channel.replies = consumer
    channel.vhost.replies[consumer.name] = consumer


def with_reply_to(channel: Channel, header: bytes, scan: Scan) -> bytes:
    """A request's header as its receiver sees it: with the name to answer to. 406 if nobody would get the answer."""
    consumer = channel.replies
    if consumer is None:
        raise ChannelError(406, "PRECONDITION_FAILED - fast reply consumer does not exist")
    name = consumer.name.encode()
    at = scan.reply_at
    return header[:at] + bytes((len(name),)) + name + header[at + 1 + header[at] :]


def is_reply_name(name: str) -> bool:
    """Whether queue.declare is not about a real queue."""
    return name.startswith(REPLY_TO)


def check_declared(vhost: VirtualHost, name: str) -> None:
    """queue.declare of the pseudo-queue, or of a name to answer to, tells whether it is there; else 404."""
    if name != REPLY_TO and name not in vhost.replies:
        vhost.queue(name)


__all__ = ["REPLY_TO", "ReplyConsumer", "check_declared", "consume", "is_reply_name", "with_reply_to"]
