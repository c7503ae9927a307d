"""Encodes publishes: most messages of a channel go to few addresses with the same properties.

Used by client/channel.
"""

from __future__ import annotations

from typing import Final

from leveret.wire.methods import BasicPublish, encode_method
from leveret.wire.properties import BasicProperties, encode_properties

ADDRESSES_MAX: Final = 1024
NO_PROPERTIES: Final = b"\x00\x00"


class Encoder:
    """Remembers encoded addresses, and the last properties if they have no headers (those could be changed in place)."""

    def __init__(self) -> None:
        self._addresses: dict[tuple[str, str, bool], bytes] = {}
        self._last: BasicProperties | None = None
        self._last_encoded: bytes = NO_PROPERTIES

    def encode(
        self, exchange: str, routing_key: str, mandatory: bool, properties: BasicProperties | None
    ) -> tuple[bytes, bytes]:
        """The payload of basic.publish, and the encoded properties. CodecError if a value does not fit."""
        address = (exchange, routing_key, mandatory)
        payload = self._addresses.get(address)
        if payload is None:
            payload = encode_method(BasicPublish(exchange=exchange, routing_key=routing_key, mandatory=mandatory))
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            self._addresses[address] = payload
        if properties is None:
            return payload, NO_PROPERTIES
        if properties is self._last:
            return payload, self._last_encoded
        encoded = encode_properties(properties)
        if properties.headers is None:
            self._last = properties
            self._last_encoded = encoded
        return payload, encoded
