"""What a connection reports: one event per method, content or heartbeat that arrived.

Plain values without behaviour. `Publish`, `Ack` and `Delivery` are the ones that come by the hundred thousand a second,
so they have classes of their own; every other method arrives as `MethodReceived` or, with a body, as `Content`.
Made by wire/connection, read by server/session and client/transport.
"""

from __future__ import annotations

from typing import Final

from leveret.wire.methods import Method


class Address:
    """Where a message was sent: the arguments of basic.publish, decoded once and shared by all messages sent alike.

    `encoded` is exchange and routing key as two short strings: what basic.deliver ends with.
    `route` and `route_epoch` are a slot in which the broker keeps what it found there, for as long as no binding changes.
    """

    def __init__(self, exchange: str, routing_key: str, mandatory: bool, immediate: bool, encoded: bytes) -> None:
        self.exchange: Final = exchange
        self.routing_key: Final = routing_key
        self.mandatory: Final = mandatory
        self.immediate: Final = immediate
        self.encoded: Final = encoded
        self.route: object = None
        self.route_epoch: int = -1


class Event:
    """Something that arrived on a channel (0 for the connection itself)."""

    def __init__(self, channel: int) -> None:
        self.channel: Final = channel


class MethodReceived(Event):
    """A method without content."""

    def __init__(self, channel: int, method: Method) -> None:
        super().__init__(channel)
        self.method: Final = method


class Content(Event):
    """A method with content, other than publish and deliver: basic.return, basic.get-ok.

    `header` is the whole payload of the header frame: 12 bytes (class, weight, body size), then the properties.
    """

    def __init__(self, channel: int, method: Method, header: bytes, body: bytes) -> None:
        super().__init__(channel)
        self.method: Final = method
        self.header: Final = header
        self.body: Final = body


class Publish(Event):
    """basic.publish with its content. `header` as in Content."""

    def __init__(self, channel: int, address: Address, header: bytes, body: bytes) -> None:
        super().__init__(channel)
        self.address: Final = address
        self.header: Final = header
        self.body: Final = body


class Ack(Event):
    """basic.ack, from either side."""

    def __init__(self, channel: int, delivery_tag: int, multiple: bool) -> None:
        super().__init__(channel)
        self.delivery_tag: Final = delivery_tag
        self.multiple: Final = multiple


class Delivery(Event):
    """basic.deliver with its content. `header` as in Content."""

    def __init__(
        self,
        channel: int,
        consumer_tag: str,
        delivery_tag: int,
        redelivered: bool,
        address: Address,
        header: bytes,
        body: bytes,
    ) -> None:
        super().__init__(channel)
        self.consumer_tag: Final = consumer_tag
        self.delivery_tag: Final = delivery_tag
        self.redelivered: Final = redelivered
        self.address: Final = address
        self.header: Final = header
        self.body: Final = body


class Heartbeat(Event):
    """The peer is alive."""


class HeaderReceived(Event):
    """The client's protocol header, and it is ours: answer with connection.start."""


class HeaderMismatch(Event):
    """Not the protocol header of AMQP 0-9-1: answer with ours and close the socket (AMQP 0-9-1 section 4.2.2)."""


class ProtocolFailure(Event):
    """The peer broke the protocol. Always the last event: nothing that follows on the connection is read.

    `code` and `text` belong into connection.close; `class_id` and `method_id` name the method at fault, or are 0.
    """

    def __init__(self, channel: int, code: int, text: str, class_id: int, method_id: int) -> None:
        super().__init__(channel)
        self.code: Final = code
        self.text: Final = text
        self.class_id: Final = class_id
        self.method_id: Final = method_id


class ChannelFailure(Event):
    """The peer misused one channel only (content above the limit): to be closed with channel.close."""

    def __init__(self, channel: int, code: int, text: str, class_id: int, method_id: int) -> None:
        super().__init__(channel)
        self.code: Final = code
        self.text: Final = text
        self.class_id: Final = class_id
        self.method_id: Final = method_id
