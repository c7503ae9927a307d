"""A message in a queue: the shared bytes of the publisher's content and this queue's entry for them, in one object.

Exchange, routing key, properties and body pass through as they came and are decoded on demand. One object per message
and queue; the bytes are shared. Made by broker/queue; store/batch writes it, broker/channel holds it while unacked. A record's id is its level's id and its position
side by side: 2**43 messages in a queue's life, 2**20 queues at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from leveret.store.batch import DURABLE, POSITION_BITS, Record
from leveret.wire.scan import Scan
from leveret.wire.scan import scan as scan_header
from leveret.wire.values import decode_shortstr, encode_shortstr

if TYPE_CHECKING:
    from leveret.broker.confirms import Confirms
    from leveret.broker.consumer import Consumer
    from leveret.broker.queue import Queue

# Why a queue gives a message up, in RabbitMQ's words.
REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"

NOTED: Final = 1 << 31
"""In the length of a stored header: the message has notes."""

OVERHEAD_BYTES: Final = 300
"""What a message costs in memory besides its bytes, about."""

SLICE_MESSAGES: Final = 1_000
"""So many are handled in a turn of the loop where one event concerns any number of them; the rest in later turns."""

KEPT_MESSAGES: Final = 4_096
KEPT_BYTES: Final = 64 * 1024
"""Of the messages that a channel holds, or that came back to a queue, so many keep their content in memory, and none with a
body above so many octets. The rest is on disk, if it was ever written there, and read again when it is delivered again."""


@mypyc_attr(acyclic=True)
class Message(Record):
    """Not looked at by the collector of garbage, of which a million would cost it much: whoever holds one lets it go himself."""

    def __init__(
        self, queue: Queue, level_id: int, position: int, address: bytes, header: bytes, body: bytes, scan: Scan
    ) -> None:
        super().__init__(level_id << POSITION_BITS | position)
        self.queue: Final = queue
        self.position: Final = position
        # Content: exchange and routing key as two short strings, payload of the header frame, body.
        self.address: bytes = address
        self.header: bytes = header
        self.body: bytes = body
        self.scan: Scan = scan
        # While only the store has the content (`shed`): its length there, and that of the body.
        self.away: int = 0
        self._away_body: int = 0
        # Whose confirm waits for this message to be safe.
        self.confirms: Confirms | None = None
        self.sequence: int = 0
        # While unacknowledged: who holds it, and since when (ms). A message taken by basic.get has no consumer.
        self.consumer: Consumer | None = None
        self.delivered_at: int = 0
        self.tag: int = 0
        self.redelivered: bool = False

    def encode_into(self, parts: list[bytes]) -> int:
        """As the store keeps it: address, length of the header, header, length of the notes and notes if any, body."""
        encode_stored(parts, self.address, self.header, self.scan.notes, self.body)
        return self.length()

    def length(self) -> int:
        return self.away or stored_length(self.address, self.header, self.scan.notes, self.body)

    @property
    def on_disk(self) -> bool:
        return self.state == DURABLE

    def size(self) -> int:
        """What it costs in memory, about."""
        return OVERHEAD_BYTES + len(self.header) + len(self.body)

    def body_bytes(self) -> int:
        return self._away_body if self.away else len(self.body)

    def on_durable(self) -> None:
        confirms = self.confirms
        if confirms is not None:
            self.confirms = None
            confirms.settle(self.sequence)
        consumer = self.consumer
        if consumer is not None and self.state == DURABLE:
            self.keep_among(consumer.channel.unacked.count)

    def keep_among(self, others: int) -> None:
        """It is on disk and will not be needed soon: its content stays in memory only if it is small, and one of few."""
        if others > KEPT_MESSAGES or len(self.body) > KEPT_BYTES:
            self.shed()

    def shed(self) -> None:
        """Let go of the content, which is on disk. Only its place, priority and lengths are known until `regain`."""
        if not self.away:
            self.away, self._away_body = self.length(), len(self.body)
            self.address = self.header = self.body = b""
            self.scan = _away(self.scan.priority)

    def regain(self, data: bytes) -> None:
        """`data`: what the store has of it."""
        self.away = 0
        self.address, self.header, notes, self.body = decode_stored(data)
        self.scan = scan_header(self.header)
        self.scan.notes = notes


_AWAY: Final[dict[int, Scan]] = {}


def _away(priority: int) -> Scan:
    """Shared by all messages of that priority without content."""
    if priority not in _AWAY:
        _AWAY[priority] = Scan(2, priority, "", False, "", 0, False)
    return _AWAY[priority]


def encode_stored(parts: list[bytes], address: bytes, header: bytes, notes: bytes, body: bytes) -> None:
    parts.append(address)
    parts.append((len(header) | NOTED if notes else len(header)).to_bytes(4, "big"))
    parts.append(header)
    if notes:
        parts.append(len(notes).to_bytes(4, "big"))
        parts.append(notes)
    parts.append(body)


def stored_length(address: bytes, header: bytes, notes: bytes, body: bytes) -> int:
    return len(address) + 4 + len(header) + len(body) + (4 + len(notes) if notes else 0)


def decode_stored(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Address, header, notes and body out of what `encode_stored` made."""
    middle = 1 + data[0]
    end = middle + 1 + data[middle]
    start = end + 4
    length = int.from_bytes(data[end:start], "big")
    stop = start + (length & ~NOTED)
    if not length & NOTED:
        return data[:end], data[start:stop], b"", data[stop:]
    body = stop + 4 + int.from_bytes(data[stop : stop + 4], "big")
    return data[:end], data[start:stop], data[stop + 4 : body], data[body:]


def place_of(number: int) -> tuple[int, int]:
    """Out of a record's id: its level's id, and its position there."""
    return number >> POSITION_BITS, number & ((1 << POSITION_BITS) - 1)


def make_notes(dead: bool, hidden_keys: list[str]) -> bytes:
    """What goes with a message unseen (Scan.notes): whether the broker wrote its x-death, and its BCC keys."""
    if not dead and not hidden_keys:
        return b""
    return (b"\1" if dead else b"\0") + b"".join([encode_shortstr(key) for key in hidden_keys])


def read_notes(notes: bytes) -> tuple[bool, list[str]]:
    """What `make_notes` was given."""
    keys = []
    pos = 1
    while pos < len(notes):
        key, pos = decode_shortstr(notes, pos)
        keys.append(key)
    return notes[:1] == b"\1", keys
