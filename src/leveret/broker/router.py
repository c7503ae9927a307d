"""From a published message to the queues that take it: the way in, and the broker's hottest path.

Finds the queues (remembered per address, with the permission to publish, until bindings or permissions change), hands each its entry, returns what is mandatory and
unroutable, and counts confirms. Called by server/session for each publish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from leveret.broker.arguments import parse_expiration, type_name
from leveret.broker.exchange import Destination, Exchange, route
from leveret.broker.message import make_notes
from leveret.broker.permissions import WRITE
from leveret.broker.replies import with_reply_to
from leveret.errors import ChannelError, CodecError, ConnectionError
from leveret.wire.events import Address
from leveret.wire.fields import without_field
from leveret.wire.properties import decode_properties
from leveret.wire.scan import Scan, Scanner
from leveret.wire.scan import scan as scan_header
from leveret.wire.values import decode_table

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.confirms import Confirms
    from leveret.broker.vhost import VirtualHost

SHORTSTR_MAX: Final = 255

IMPERSONATOR: Final = "impersonator"
"""The tag of users who may publish under another's name."""


class Route:
    """Where messages of one address go."""

    def __init__(self, exchange: Exchange, queues: list[Destination]) -> None:
        self.exchange: Final = exchange
        self.queues: Final = queues


class Router:
    def __init__(self, vhost: VirtualHost) -> None:
        self._vhost: Final = vhost
        self._scanner: Final = Scanner(vhost.commons.bounds.nesting)

    def publish(self, channel: Channel, address: Address, header: bytes, body: bytes) -> None:
        """basic.publish. Wrong use raises ChannelError or ConnectionError; nothing is routed then."""
        scan = self._check(channel, address, header)
        if scan.reply_at:
            self._exchange(channel, address)
            header = with_reply_to(channel, header, scan)
        expiration_ms = self._expiration(channel, address, scan) if scan.has_expiration else -1
        found = address.route
        if found is not None and address.route_epoch == self._vhost.epoch and not scan.has_copies:
            way = cast(Route, found)
        else:
            way = self._find(channel, address, header, scan)
        transaction = channel.transaction
        if transaction is None:
            self._enter(channel, address, header, body, scan, expiration_ms, way, channel.confirms)
        else:
            queues = way.queues
            names = self._names(address, header, scan, queues)
            others = [queue for queue in queues if queue.kind in ("delay", "ear")]
            transaction.publish((address, header, body, expiration_ms, names, others))

    def commit(self, channel: Channel) -> None:
        """tx.commit: what was published goes to the queues found then, as far as they are there now."""
        transaction = channel.transaction
        if transaction is not None:
            by_name, replies = self._vhost.queues, self._vhost.replies
            for address, header, body, expiration_ms, names, others in transaction.take_publishes():
                scan = self._scanner.scan(header)
                queues: list[Destination] = [by_name[name] for name in names if name in by_name]
                queues.extend(replies[name] for name in names if name in replies)
                queues.extend(others)
                exchange = self._vhost.exchanges.get(address.exchange) or self._vhost.exchanges[""]
                way = Route(exchange, queues)
                self._enter(channel, address, header, body, scan, expiration_ms, way, transaction.confirms)

    def _names(self, address: Address, header: bytes, scan: Scan, queues: list[Destination]) -> list[str]:
        """The queues for which a message of a transaction is meant; the default exchange's need not be there yet."""
        if address.exchange:
            return [queue.name for queue in queues]
        further = copies(Headers(header, scan).table()) if scan.has_copies else []
        return list(dict.fromkeys([address.routing_key, *further]))

    def _enter(
        self,
        channel: Channel,
        address: Address,
        header: bytes,
        body: bytes,
        scan: Scan,
        expiration_ms: int,
        way: Route,
        confirms: Confirms | None,
    ) -> None:
        """Into each of the queues; if there is none, back to the publisher if the message is mandatory."""
        if scan.has_copies:
            scan = with_hidden_keys(header, scan)
            header = without_bcc(header, scan)
        sequence = 0
        queues = way.queues
        exchange = way.exchange
        channel.counts.published += 1
        exchange.published_in += 1
        if confirms is not None:
            sequence = confirms.next()
            if len(queues) > 1:
                confirms.expect(sequence, len(queues))
        if not queues:
            if address.mandatory:
                channel.counts.returned += 1
                channel.peer.return_unroutable(channel.number, address.exchange, address.routing_key, header, body)
            else:
                channel.counts.dropped += 1
            if confirms is not None:
                confirms.settle(sequence)
            return
        exchange.published_out += len(queues)
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
        if scan.user_id and scan.user_id != channel.peer.user and IMPERSONATOR not in channel.peer.tags:
            self._exchange(channel, address)  # a wrong exchange is told first
            text = f"user_id property set to '{scan.user_id}' but authenticated user was '{channel.peer.user}'"
            raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
        return scan

    def _expiration(self, channel: Channel, address: Address, scan: Scan) -> int:
        if address.route is None:
            self._exchange(channel, address)
        return parse_expiration(scan.expiration)

    def _exchange(self, channel: Channel, address: Address) -> Exchange:
        vhost = self._vhost
        vhost.permissions.require(channel.peer, WRITE, "exchange", address.exchange)
        exchange: Exchange = vhost.exchange(address.exchange)
        if exchange.internal:
            text = f"cannot publish to internal exchange '{exchange.name}' in vhost '{vhost.name}'"
            raise ChannelError(403, f"ACCESS_REFUSED - {text}")
        vhost.permissions.require_topic(channel.peer, WRITE, exchange, address.routing_key)
        return exchange

    def _find(self, channel: Channel, address: Address, header: bytes, scan: Scan) -> Route:
        vhost = self._vhost
        exchange = self._exchange(channel, address)
        headers = Headers(header, scan)
        keys = [address.routing_key]
        if scan.has_copies:
            keys.extend(copies(headers.table()))
        queues = route(exchange, keys, headers, vhost.queues, vhost.exchanges)
        replies = len(queues)
        if vhost.replies and exchange.name == "":
            queues.extend(vhost.replies[key] for key in keys if key in vhost.replies)
        way = Route(exchange, queues)
        if not headers.used and len(queues) == replies:
            address.route = way
            address.route_epoch = vhost.epoch
        return way


def copies(table: dict[str, object]) -> list[str]:
    """The further routing keys in a message's CC and BCC headers; 406 if they are not arrays of strings."""
    keys: list[str] = []
    for name in ("CC", "BCC"):
        if name not in table:
            continue
        value = table[name]
        if not isinstance(value, list):
            text = f'invalid message: {{unacceptable_type_in_header,"{name}",{type_name(value)}}}'
            raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
        keys.extend(key for key in value if isinstance(key, str))
    return keys


def with_hidden_keys(header: bytes, scan: Scan) -> Scan:
    """A scan of the message that remembers its BCC keys, for the day when it is dead-lettered."""
    hidden = Headers(header, scan).table().get("BCC")
    if not isinstance(hidden, list) or not hidden:
        return scan
    noted = scan_header(header)
    noted.notes = make_notes(False, [key for key in hidden if isinstance(key, str) and fits(key)])
    return noted


def fits(key: str) -> bool:
    """Into a short string, as every routing key but those in headers does."""
    return len(key.encode("utf-8", "surrogateescape")) <= SHORTSTR_MAX


def without_bcc(header: bytes, scan: Scan) -> bytes:
    """The header as receivers may see it."""
    return without_field(header, scan.headers_at, "BCC")


class Headers:
    """A message's headers table and properties, decoded only if an exchange on the way asks for them."""

    def __init__(self, header: bytes, scan: Scan) -> None:
        self.header: Final = header
        self.at: Final = scan.headers_at
        self.used: bool = False

    def property(self, name: str) -> object:
        """One of the message's properties, None if it has none of that name."""
        self.used = True
        try:
            value: object = getattr(decode_properties(self.header, 12), name)
        except CodecError as error:
            raise ConnectionError(502, f"SYNTAX_ERROR - {error}") from None
        return value

    def table(self) -> dict[str, object]:
        self.used = True
        if not self.at:
            return {}
        try:
            return dict(decode_table(self.header, self.at)[0])
        except CodecError as error:
            raise ConnectionError(502, f"SYNTAX_ERROR - {error}") from None
