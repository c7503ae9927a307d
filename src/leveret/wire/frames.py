"""Frames: how bytes become frames and frames become bytes (AMQP 0-9-1 section 4.2.3).

No state of connections or channels here, and no method is understood but those that end a connection. wire/connection calls it.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Final

from leveret.wire.methods import ConnectionClose, ConnectionCloseOk, Method
from leveret.wire.pieces import Pieces

OVERHEAD: Final = 8
"""Octets of a frame around its payload: type, channel, size, frame-end."""

_HEAD: Final = Struct(">BHI")
_DELIVER: Final = Struct(">QB")
_END: Final = b"\xce"
_DELIVER_ID: Final = b"\x00\x3c\x00\x3c"

CLOSE_OK: Final = b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xce"
"""connection.close-ok as a frame."""

HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"


class Gatherer:
    """Holds the beginning of a frame until the rest of it is there.

    Pieces are joined once per frame, not once per piece, so that a peer sending octet by octet costs no more.
    """

    def __init__(self) -> None:
        self.pieces: Final = Pieces()
        self.wanted: int = 0

    def feed(self, data: bytes) -> bytes:
        """Everything held and `data`, or b"" while the frame that was begun is still incomplete."""
        pieces = self.pieces
        if not pieces.octets:
            return data
        pieces.add(data)
        return pieces.take() if pieces.octets >= self.wanted else b""

    def keep(self, rest: bytes, wanted: int) -> None:
        """Hold `rest`, the start of a frame, until `wanted` octets of it have come."""
        self.pieces.add(rest)
        self.wanted = wanted


_CLOSE: Final = re.compile(rb"\x01\x00\x00.{4}\x00\x0a\x00\x32", re.DOTALL)
"""How a frame with connection.close begins."""


class CloseFinder:
    """Looks for the end of a connection in octets whose frames cannot be told apart, however they are cut."""

    def __init__(self) -> None:
        self._tail: bytes = b""

    def feed(self, data: bytes) -> Method | None:
        """connection.close-ok, or a connection.close that crossed ours (what it says is lost)."""
        data = self._tail + data
        self._tail = data[1 - len(CLOSE_OK) :]
        if CLOSE_OK in data:
            return ConnectionCloseOk()
        if _CLOSE.search(data) is None:
            return None
        self._tail = b""
        return ConnectionClose()


def method_frame(channel: int, payload: bytes) -> bytes:
    return b"".join((_HEAD.pack(1, channel, len(payload)), payload, _END))


def header_payload(body_bytes: int, properties: bytes) -> bytes:
    """The payload of a header frame: class basic, weight 0, the size of the body, then the encoded properties."""
    return b"\x00\x3c\x00\x00" + body_bytes.to_bytes(8, "big") + properties


def content_frames(channel: int, payload: bytes, header: bytes, body: bytes, frame_max: int) -> bytes:
    """A method with its content; the body is cut so that no frame is larger than `frame_max` (0: no limit)."""
    parts = [
        _HEAD.pack(1, channel, len(payload)),
        payload,
        b"\xce",
        _HEAD.pack(2, channel, len(header)),
        header,
        b"\xce",
    ]
    _append_body(parts, channel, body, frame_max)
    return b"".join(parts)


def deliver_frames(
    channel: int,
    tag: bytes,
    delivery_tag: int,
    redelivered: bool,
    address: bytes,
    header: bytes,
    body: bytes,
    frame_max: int,
) -> bytes:
    """basic.deliver with its content. `tag` (consumer tag) and `address` (exchange, key) are encoded short strings."""
    size = 13 + len(tag) + len(address)
    n = len(body)
    if n and (not frame_max or n <= frame_max - 8):
        return b"".join(
            (
                _HEAD.pack(1, channel, size),
                _DELIVER_ID,
                tag,
                _DELIVER.pack(delivery_tag, 1 if redelivered else 0),
                address,
                _END,
                _HEAD.pack(2, channel, len(header)),
                header,
                _END,
                _HEAD.pack(3, channel, n),
                body,
                _END,
            )
        )
    payload = b"".join((_DELIVER_ID, tag, _DELIVER.pack(delivery_tag, 1 if redelivered else 0), address))
    return content_frames(channel, payload, header, body, frame_max)


def _append_body(parts: list[bytes], channel: int, body: bytes, frame_max: int) -> None:
    n = len(body)
    room = frame_max - 8 if frame_max else n
    start = 0
    while start < n:
        piece = body if n <= room else body[start : start + room]
        parts.append(_HEAD.pack(3, channel, len(piece)))
        parts.append(piece)
        parts.append(b"\xce")
        start += len(piece)
