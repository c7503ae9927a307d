"""What happens to a message that its queue gives up: it is sent on to the queue's dead letter exchange, with its history.

Reasons: `rejected`, `expired`, `maxlen`, `delivery_limit`. The history stands in the headers x-death, x-first-death-*
and x-last-death-* (RabbitMQ's page on dead letter exchanges). Called by broker/queue, which drops the message right
afterwards: both happen in one batch of the store, so that after a crash the message is in its old queue or in its new
ones, never in none. A confirm that its publisher still waits for goes on with the message.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from leveret.broker.exchange import Destination, route
from leveret.broker.message import REJECTED, make_notes, read_notes
from leveret.broker.router import SHORTSTR_MAX, Headers, copies
from leveret.errors import AMQPError, CodecError
from leveret.wire.fields import rewritten
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
        key = queue.dead_letter_key
        died = Death(letter, self._vhost.now)
        header, looked_at = died.written(keeps_copies=key is None)
        keys = [*died.keys, *died.hidden_keys] if key is None else [key]
        found = self._find(queue, keys, Headers(header, looked_at))
        if letter.reason != REJECTED:
            found = [target for target in found if not is_cycle(target.name, died.deaths)]
        if confirms is not None:
            confirms.divert(sequence, len(found))
        if found:
            address = encode_shortstr(queue.dead_letter_exchange) + encode_shortstr(cut(keys[0]))
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


class Death:
    """The end of a message in one queue, and those before it.

    Only a history that the broker itself wrote is gone on with, as in RabbitMQ 4: what a publisher puts into x-death
    neither counts nor makes a circle.
    """

    def __init__(self, letter: Letter, now_ms: int) -> None:
        self._letter: Final = letter
        self._header: Final = readable(letter.header)
        self._properties: Final = decode_properties(self._header, 12)
        dead, hidden_keys = read_notes(letter.scan.notes)
        self._first: Final = not dead
        middle = 1 + letter.address[0]
        self.exchange: Final = letter.address[1:middle].decode("utf-8", "surrogateescape")
        key = letter.address[middle + 1 :].decode("utf-8", "surrogateescape")
        # Those that the message came with: its own and CC, which are told; BCC, which are not.
        self.keys: Final = [key, *further_keys(self._properties)]
        self.hidden_keys: Final = hidden_keys
        self.deaths: Final = self._counted(now_ms)

    def _counted(self, now_ms: int) -> list[dict[str, object]]:
        """All deaths, newest first; one more of the same kind is counted."""
        queue, reason = self._letter.queue.name, self._letter.reason
        deaths = [] if self._first else deaths_of(self._properties)
        death = next((one for one in deaths if (one.get("queue"), one.get("reason")) == (queue, reason)), None)
        if death is None:
            return [new_death(reason, queue, self.exchange, self.keys, now_ms, self._properties.expiration), *deaths]
        deaths.remove(death)
        count = death.get("count")
        return [{**death, "count": (count if isinstance(count, int) else 0) + 1}, *deaths]

    def written(self, keeps_copies: bool) -> tuple[bytes, Scan]:
        """The header with this death in it, and without the expiration, which has done its work."""
        fields: dict[str, object] = {"x-death": self.deaths}
        told = {"reason": self._letter.reason, "queue": self._letter.queue.name, "exchange": self.exchange}
        for name, value in told.items():
            if self._first:
                fields[f"x-first-death-{name}"] = value
            fields[f"x-last-death-{name}"] = value
        kept = replace(self._properties, expiration=None)
        header = rewritten(self._header, kept, fields, () if keeps_copies else ("CC",))
        looked_at = scan(header)
        looked_at.notes = make_notes(True, self.hidden_keys if keeps_copies else [])
        return header, looked_at


def readable(header: bytes) -> bytes:
    """The header; properties that are not what they claim to be are lost."""
    try:
        scan(header)
        decode_properties(header, 12)
    except CodecError:
        return header[:12] + encode_properties(BasicProperties(delivery_mode=PERSISTENT))
    return header


def further_keys(properties: BasicProperties) -> list[str]:
    try:
        return copies(properties.headers or {})
    except AMQPError:
        return []


def cut(key: str) -> str:
    """A key out of arguments or headers may be longer than a receiver can be told."""
    return key.encode("utf-8", "surrogateescape")[:SHORTSTR_MAX].decode("utf-8", "surrogateescape")


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
    """The history so far, newest first."""
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
