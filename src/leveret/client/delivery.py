"""A message that arrived: delivered to a consumer, fetched by get, or returned as unroutable.

Cheap to make: a delivery points at the wire's event, and its properties are decoded when first asked for. It belongs
to the connection it came on: its tag never reaches another one. Made by client/session and client/channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.client.waiting import again
from leveret.errors import ProtocolMisuse
from leveret.wire import events
from leveret.wire.properties import BasicProperties, decode_properties

if TYPE_CHECKING:
    from leveret.client.session import Session

PROPERTIES_AT = 12
"""In a header frame's payload the properties follow class, weight and body size."""


class Delivery:
    """One message and the right to settle it: once, with `ack`, `nack` or `reject`.

    Settling writes nothing by itself; what is settled during one turn of the event loop goes out together. Once the
    connection or channel it came on has ended, settling raises the error that ended it (ConnectionLost, ChannelError):
    the broker has put the message back and will deliver it again.
    """

    __slots__ = ("_event", "_properties", "_session", "_settled")

    def __init__(self, session: Session, event: events.Delivery, settled: bool) -> None:
        self._session = session
        self._event = event
        self._settled = settled
        self._properties: BasicProperties | None = None

    @property
    def body(self) -> bytes:
        return self._event.body

    @property
    def properties(self) -> BasicProperties:
        if self._properties is None:
            self._properties = decode_properties(self._event.header, PROPERTIES_AT)
        return self._properties

    @property
    def exchange(self) -> str:
        return self._event.address.exchange

    @property
    def routing_key(self) -> str:
        return self._event.address.routing_key

    @property
    def delivery_tag(self) -> int:
        return self._event.delivery_tag

    @property
    def redelivered(self) -> bool:
        return self._event.redelivered

    @property
    def consumer_tag(self) -> str:
        """Empty for a message fetched by get."""
        return self._event.consumer_tag

    @property
    def settled(self) -> bool:
        """Acknowledged or given back by this program, or taken without acknowledgement."""
        return self._settled

    @property
    def lost(self) -> bool:
        """Its channel or connection has ended: settling it is no longer possible."""
        return self._session.error is not None

    def ack(self, multiple: bool = False) -> None:
        """The message is done with. `multiple`: so are all earlier ones of this channel; do not settle them again."""
        self._claim()
        self._session.ack(self._event.delivery_tag, multiple)

    def nack(self, requeue: bool = True, multiple: bool = False) -> None:
        """Give the message back (`requeue`), or have the broker drop or dead-letter it."""
        self._claim()
        self._session.nack(self._event.delivery_tag, requeue, multiple)

    def reject(self, requeue: bool = True) -> None:
        """As nack, for one message, in AMQP's original words."""
        self._claim()
        self._session.reject(self._event.delivery_tag, requeue)

    def _claim(self) -> None:
        if self._session.error is not None:
            raise again(self._session.error)
        if self._settled:
            raise ProtocolMisuse(f"delivery {self._event.delivery_tag} needs no acknowledgement, or had it already")
        self._settled = True

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.delivery_tag} from exchange {self.exchange!r} "
            f"key {self.routing_key!r}, {len(self.body)} octets>"
        )


class Returned:
    """A mandatory message that came back: `reply_code` 312 and `reply_text` NO_ROUTE, and the message as it was sent."""

    __slots__ = ("_header", "body", "exchange", "reply_code", "reply_text", "routing_key")

    def __init__(
        self, reply_code: int, reply_text: str, exchange: str, routing_key: str, header: bytes, body: bytes
    ) -> None:
        self.reply_code = reply_code
        self.reply_text = reply_text
        self.exchange = exchange
        self.routing_key = routing_key
        self.body = body
        self._header = header

    @property
    def properties(self) -> BasicProperties:
        return decode_properties(self._header, PROPERTIES_AT)
