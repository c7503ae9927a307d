"""What a broker needs to know of a message's properties, read without decoding them.

Compiled, unlike wire/properties: it looks at every message. Called by the broker for each publish.
"""

from __future__ import annotations

from typing import Final

from leveret.errors import CodecError
from leveret.wire.values import NESTING_MAX

SCANS_MAX: Final = 1024
_WIDTHS: Final = dict(zip(b"tbBsuIiflLdTDV", (1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 5, 0), strict=True))
"""Octets of a field value by the letter of its type (rabbitmq.com/amqp-0-9-1-errata)."""

REPLY_TO: Final = "amq.rabbitmq.reply-to"
"""The pseudo-queue of direct reply-to, as a client names it."""
_REPLY_TO_ENCODED: Final = b"\x15" + REPLY_TO.encode()


class Scan:
    """The properties that decide what happens to a message; `headers_at` is the offset of the headers table or 0."""

    def __init__(
        self,
        delivery_mode: int,
        priority: int,
        expiration: str,
        has_expiration: bool,
        user_id: str,
        headers_at: int,
        has_copies: bool,
        reply_at: int = 0,
    ) -> None:
        self.delivery_mode: Final = delivery_mode
        self.priority: Final = priority
        self.expiration: Final = expiration
        self.has_expiration: Final = has_expiration
        self.user_id: Final = user_id
        self.headers_at: Final = headers_at
        # The table may have a CC or BCC header.
        self.has_copies: Final = has_copies
        # Where reply_to stands, if it asks for direct reply-to; else 0.
        self.reply_at: Final = reply_at
        # What the broker knows of the message besides (broker/message); never shown to clients.
        self.notes: bytes = b""


class Scanner:
    """Scans header payloads and remembers them: most messages of a publisher have the same properties."""

    def __init__(self, nesting_max: int = NESTING_MAX) -> None:
        self._nesting_max: Final = nesting_max
        self._known: dict[bytes, Scan] = {}

    def scan(self, header: bytes) -> Scan:
        """Of the payload of a header frame (the properties begin at 12). Malformed: CodecError."""
        found = self._known.get(header)
        if found is None:
            found = scan(header, self._nesting_max)
            if len(header) <= 64:
                if len(self._known) >= SCANS_MAX:
                    self._known.clear()
                self._known[header] = found
        return found


def scan(header: bytes, nesting_max: int = NESTING_MAX) -> Scan:
    """See Scanner.scan. Properties stand in the order of their flags, highest bit first (AMQP 0-9-1 section 4.2.6.1)."""
    end = len(header)
    if end < 14:
        raise CodecError("a content header of less than 14 octets")
    flags = header[12] << 8 | header[13]
    pos = 14
    more = flags
    while more & 1:
        if pos + 2 > end:
            raise CodecError("property flags are cut short")
        more = header[pos] << 8 | header[pos + 1]
        pos += 2
    delivery_mode = 0
    priority = 0
    expiration = ""
    user_id = ""
    headers_at = 0
    reply_at = 0
    for bit in range(15, 1, -1):
        if not flags & (1 << bit):
            continue
        start = pos
        if bit == 12 or bit == 11:
            pos += 1
        elif bit == 6:
            pos += 8
        elif bit == 13:
            headers_at = pos
            pos += 4 + int.from_bytes(header[pos : pos + 4], "big")
        else:
            pos += 1 + (header[pos] if pos < end else 0)
        if pos > end:
            raise CodecError("content properties are cut short")
        if bit == 13:
            check_fields(header, start + 4, pos, True, nesting_max)
        if bit == 12:
            delivery_mode = header[start]
        elif bit == 11:
            priority = header[start]
        elif bit == 8:
            expiration = header[start + 1 : pos].decode("utf-8", "surrogateescape")
        elif bit == 9 and header[start:pos] == _REPLY_TO_ENCODED:
            reply_at = start
        elif bit == 4:
            user_id = header[start + 1 : pos].decode("utf-8", "surrogateescape")
    if pos != end:
        raise CodecError(f"{end - pos} octets behind the content properties")
    has_copies = headers_at > 0 and (b"\x02CC" in header or b"\x03BCC" in header)
    return Scan(delivery_mode, priority, expiration, flags & 1 << 8 != 0, user_id, headers_at, has_copies, reply_at)


def check_fields(data: bytes, pos: int, end: int, named: bool, deeper: int) -> None:
    """`deeper`: how many more levels there may be. CodecError unless a table (`named`) or an array fills `pos` to `end` exactly: receivers have to be able to read it."""
    if deeper < 0:
        raise CodecError("headers are nested deeper than is allowed")
    while pos < end:
        if named:
            pos += 1 + data[pos]
        kind = data[pos] if pos < end else 0
        pos += 1
        width = _WIDTHS.get(kind, -1)
        if width < 0:
            if kind != 83 and kind != 120 and kind != 70 and kind != 65:  # S x F A: a length stands first
                raise CodecError(f"unknown field type {kind} in the headers")
            start = pos + 4
            width = 4 + int.from_bytes(data[pos:start], "big")
            if (kind == 70 or kind == 65) and pos + width <= end:
                check_fields(data, start, pos + width, kind == 70, deeper - 1)
        pos += width
    if pos != end:
        raise CodecError("the headers are longer than they say")
