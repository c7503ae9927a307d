"""The addresses of basic.publish and basic.deliver: read once, and remembered by the octets they came as.

Made by wire/connection, one for each connection.
"""

from __future__ import annotations

from typing import Final

from leveret.wire.events import Address

COUNT_MAX: Final = 16_384
OCTETS_MAX: Final = 1024 * 1024
"""Beyond either it starts afresh, so a flood of routing keys costs no memory."""


class Addresses:
    def __init__(self) -> None:
        self.known: Final[dict[bytes, Address]] = {}
        self._octets: int = 0

    def read(self, payload: bytes, start: int, bits: int) -> Address | None:
        """Exchange and routing key at `start`, then `bits` octets of flags; remembered under `payload`. Malformed: None."""
        n = len(payload)
        middle = start + 1 + payload[start] if start < n else n
        end = middle + 1 + payload[middle] if middle < n else n
        if middle >= n or end + bits != n:
            return None
        exchange = payload[start + 1 : middle].decode("utf-8", "surrogateescape")
        key = payload[middle + 1 : end].decode("utf-8", "surrogateescape")
        flags = payload[end] if bits else 0
        address = Address(exchange, key, flags & 1 == 1, flags & 2 == 2, payload[start:end])
        if len(self.known) >= COUNT_MAX or self._octets + n > OCTETS_MAX:
            self.forget()
        self._octets += n
        self.known[payload] = address
        return address

    def forget(self) -> None:
        self.known.clear()
        self._octets = 0
