"""What happens to a message that its queue gives up: it is sent on to the queue's dead letter exchange, with its history.

Reasons: `rejected`, `expired`, `maxlen`, `delivery_limit`. The history stands in the headers x-death and x-first-death-*
(RabbitMQ's page on dead letter exchanges). Called by broker/queue, which drops the message right afterwards: both happen
in one batch of the store, so that after a crash the message is in its old queue or in its new ones, never in none. A confirm
that its publisher still waits for goes on with the message.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from leveret.broker.exchange import Destination, route
from leveret.broker.message import REJECTED
from leveret.broker.router import Headers, copies
from leveret.errors import AMQPError, CodecError
from leveret.wire.properties import PERSISTENT, BasicProperties, decode_properties, encode_properties
from leveret.wire.scan import Scan, scan
from leveret.wire.values import encode_shortstr

if TYPE_CHECKING:
    from leveret.broker.confirms import Confirms
    from leveret.broker.message import Message
    from leveret.broker.queue import Queue
    from leveret.broker.vhost import VirtualHost


class Letter:
    """A message on its way, and who waits for it to be safe."""

    def __init__(
        self, queue: Queue, reason: str, message: Message, confirms: Confirms | None, sequence: int, scan: Scan
    ) -> None:
        self.queue: Final = queue
        self.reason: Final = reason
        self.address: Final = message.address
        self.header: Final = message.header
        self.body: Final = message.body
        self.scan: Final = scan
        self.confirms: Final = confirms
        self.sequence: Final = sequence


class DeadLetters:
    """Those of a virtual host. Queues that dead-letter into each other take turns here rather than recurse."""

    def __init__(self, vhost: VirtualHost) -> None:
        self._vhost: Final = vhost
        self._waiting: deque[Letter] = deque()
        self._sending: bool = False

    def send(self, queue: Queue, message: Message, reason: str) -> None:
        """The message leaves `queue`, which has a dead letter exchange, for that reason."""
        confirms, message.confirms = message.confirms, None
        self._waiting.append(Letter(queue, reason, message, confirms, message.sequence, message.scan))
        if self._sending:
            return
        self._sending = True
        try:
            while self._waiting:
                self._send(self._waiting.popleft())
        finally:
            self._sending = False

    def _send(self, letter: Letter) -> None:
        confirms, sequence = letter.confirms, letter.sequence
        queue = letter.queue
        properties = readable(letter.header)
        keys = routing_keys(letter, properties)
        key = queue.dead_letter_key
        died = buried(letter, properties, keys, self._vhost.now, keeps_copies=key is None)
        header = letter.header[:12] + encode_properties(died)
        looked_at = scan(header)
        found = self._find(queue, keys if key is None else [key], Headers(header, looked_at))
        if letter.reason != REJECTED:
            found = [target for target in found if not is_cycle(target.name, deaths_of(died))]
        if confirms is not None:
            confirms.divert(sequence, len(found))
        address = encode_shortstr(queue.dead_letter_exchange) + encode_shortstr(keys[0] if key is None else key)
        for target in found:
            target.publish(address, header, letter.body, looked_at, -1, confirms, sequence, None)

    def _find(self, queue: Queue, keys: list[str], headers: Headers) -> list[Destination]:
        """A missing exchange, or one that the message's headers cannot be matched at, leads nowhere."""
        exchange = self._vhost.exchanges.get(queue.dead_letter_exchange)
        if exchange is None:
            return []
        try:
            return route(exchange, keys, headers, self._vhost.queues, self._vhost.exchanges)
        except AMQPError:
            return []


def readable(header: bytes) -> BasicProperties:
    """The properties; headers that are not what they claim to be are lost."""
    try:
        return decode_properties(header, 12)
    except CodecError:
        return BasicProperties(delivery_mode=PERSISTENT)


def routing_keys(letter: Letter, properties: BasicProperties) -> list[str]:
    """Those that the message came with, CC among them."""
    middle = 1 + letter.address[0]
    keys = [letter.address[middle + 1 :].decode("utf-8", "surrogateescape")]
    try:
        return keys + copies(properties.headers or {})
    except AMQPError:
        return keys


def buried(
    letter: Letter, properties: BasicProperties, keys: list[str], now_ms: int, keeps_copies: bool
) -> BasicProperties:
    """The properties with this death written into them; without the expiration, which has done its work."""
    exchange = letter.address[1 : 1 + letter.address[0]].decode("utf-8", "surrogateescape")
    queue, reason = letter.queue.name, letter.reason
    headers = {name: value for name, value in (properties.headers or {}).items() if keeps_copies or name != "CC"}
    deaths = deaths_of(properties)
    death = next((one for one in deaths if (one.get("queue"), one.get("reason")) == (queue, reason)), None)
    if death is None:
        death = new_death(reason, queue, exchange, keys, now_ms, properties.expiration)
    else:
        deaths.remove(death)
        count = death.get("count")
        death = {**death, "count": (count if isinstance(count, int) else 0) + 1}
    headers["x-death"] = [death, *deaths]
    told = {"reason": reason, "queue": queue, "exchange": exchange}
    for name, value in told.items():
        headers.setdefault(f"x-first-death-{name}", value)
        headers[f"x-last-death-{name}"] = value
    return replace(properties, headers=headers, expiration=None)


def new_death(
    reason: str, queue: str, exchange: str, keys: list[str], now_ms: int, expiration: str | None
) -> dict[str, object]:
    death: dict[str, object] = {
        "count": 1,
        "reason": reason,
        "queue": queue,
        "time": datetime.fromtimestamp(now_ms // 1000, UTC),
        "exchange": exchange,
        "routing-keys": keys,
    }
    return death if expiration is None else {**death, "original-expiration": expiration}


def deaths_of(properties: BasicProperties) -> list[dict[str, object]]:
    """The history so far, newest first; what a publisher put there that is none does not count."""
    found = (properties.headers or {}).get("x-death")
    return [death for death in found if isinstance(death, dict)] if isinstance(found, list) else []


def is_cycle(queue: str, deaths: list[dict[str, object]]) -> bool:
    """Would the message come back to a queue where it died before, without anybody having rejected it since?"""
    for death in deaths:
        if death.get("reason") == REJECTED:
            return False
        if death.get("queue") == queue:
            return True
    return False
