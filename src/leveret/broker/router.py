"""From a published message to the queues that take it: the way in, and the broker's hottest path.

Finds the queues (remembered per address until a binding changes), hands each its entry, returns what is mandatory and
unroutable, and counts confirms. Called by server/session for each publish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from leveret.broker.exchange import Exchange, route
from leveret.broker.queue import Queue
from leveret.errors import ChannelError, CodecError, ConnectionError
from leveret.wire.events import Address
from leveret.wire.scan import Scan, Scanner
from leveret.wire.values import decode_table

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.vhost import VirtualHost


class Route:
    """The queues an address leads to, whatever the message."""

    def __init__(self, queues: list[Queue]) -> None:
        self.queues: Final = queues


class Router:
    def __init__(self, vhost: VirtualHost) -> None:
        self._vhost: Final = vhost
        self._scanner: Final = Scanner()

    def publish(self, channel: Channel, address: Address, header: bytes, body: bytes) -> None:
        """basic.publish. Wrong use raises ChannelError or ConnectionError; nothing is routed then."""
        scan = self._check(channel, address, header)
        expiration_ms = parse_expiration(scan.expiration) if scan.expiration else -1
        found = address.route
        if found is not None and address.route_epoch == self._vhost.epoch:
            queues = cast(Route, found).queues
        else:
            queues = self._find(address, header, scan)
        confirms = channel.confirms
        sequence = 0
        if confirms is not None:
            sequence = confirms.next()
            if len(queues) > 1:
                confirms.expect(sequence, len(queues))
        if not queues:
            if address.mandatory:
                channel.peer.return_unroutable(channel.number, address.exchange, address.routing_key, header, body)
            if confirms is not None:
                confirms.settle(sequence)
            return
        encoded = address.encoded
        for queue in queues:
            queue.publish(encoded, header, body, scan, expiration_ms, confirms, sequence, channel.peer)

    def _check(self, channel: Channel, address: Address, header: bytes) -> Scan:
        if address.immediate:
            raise ConnectionError(540, "NOT_IMPLEMENTED - immediate=true")
        try:
            scan = self._scanner.scan(header)
        except CodecError as error:
            raise ConnectionError(502, f"SYNTAX_ERROR - {error}") from None
        if scan.user_id and scan.user_id != channel.peer.user:
            text = f"user_id property set to '{scan.user_id}' but authenticated user was '{channel.peer.user}'"
            raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
        return scan

    def _find(self, address: Address, header: bytes, scan: Scan) -> list[Queue]:
        vhost = self._vhost
        exchange: Exchange = vhost.exchange(address.exchange)
        if exchange.internal:
            text = f"cannot publish to internal exchange '{exchange.name}' in vhost '{vhost.name}'"
            raise ChannelError(403, f"ACCESS_REFUSED - {text}")
        headers = Headers(header, scan)
        found = route(exchange, address.routing_key, headers, vhost.queues, vhost.exchanges)
        queues = [cast(Queue, queue) for queue in found]
        if not headers.used:
            address.route = Route(queues)
            address.route_epoch = vhost.epoch
        return queues


class Headers:
    """A message's headers table, decoded only if a headers exchange asks for it."""

    def __init__(self, header: bytes, scan: Scan) -> None:
        self._header: Final = header
        self._at: Final = scan.headers_at
        self.used: bool = False

    def table(self) -> dict[str, object]:
        self.used = True
        if not self._at:
            return {}
        try:
            return dict(decode_table(self._header, self._at)[0])
        except CodecError as error:
            raise ConnectionError(502, f"SYNTAX_ERROR - {error}") from None


def parse_expiration(text: str) -> int:
    """A message's own time to live in ms; 406 if it is not a whole number from 0 to 2**32 - 1."""
    if not (text.isascii() and text.lstrip("-").isdigit()):
        raise ChannelError(406, f"PRECONDITION_FAILED - invalid expiration '{text}': no_integer")
    value = int(text)
    if value < 0:
        raise ChannelError(406, f"PRECONDITION_FAILED - invalid expiration '{text}': {{value_negative,{value}}}")
    if value > 4294967295:
        raise ChannelError(406, f"PRECONDITION_FAILED - invalid expiration '{text}': {{value_too_big,{value}}}")
    return value
