"""The consistent-hash exchange of RabbitMQ's plugin: each message to one of its destinations, by a hash.

A binding's key is its weight. What is hashed is the routing key, or a header or property that the exchange's arguments
name. The jump hash (Lamping and Veach) keeps what stays when a binding is added: a value moves to the new destination or
not at all. Declared through broker/exchange_types; nothing here is remembered but the bindings.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from leveret.broker.arguments import term, type_name
from leveret.broker.exchange import Binding, Destination, Exchange, Identity
from leveret.errors import ChannelError

if TYPE_CHECKING:
    from leveret.broker.router import Headers

HEADER: Final = "hash-header"
PROPERTY: Final = "hash-property"
PROPERTIES: Final = ("correlation_id", "message_id", "timestamp")
_INTEGER: Final = re.compile("[+-]?[0-9]+")


class ConsistentHashExchange(Exchange):
    """Every value that is hashed has one destination; of several bindings of a destination the oldest counts."""

    def __init__(
        self, name: str, type: str, durable: bool, auto_delete: bool, internal: bool, arguments: dict[str, object]
    ) -> None:
        super().__init__(name, type, durable, auto_delete, internal, arguments)
        header, property_ = arguments.get(HEADER), arguments.get(PROPERTY)
        self._header: Final = header if isinstance(header, str) else ""
        self._property: Final = property_ if isinstance(property_, str) else ""
        self._shares: Final[dict[Identity, Binding]] = {}
        # Made of the shares when it is needed: destinations, and up to which bucket each reaches.
        self._destinations: list[Destination] = []
        self._ends: list[int] = []
        self._changed: bool = False
        self.one_key = True

    def check_binding(self, binding: Binding) -> None:
        key = binding.key
        if not _INTEGER.fullmatch(key):
            shown = term(key) if key else "<<>>"
            raise ChannelError(406, f"PRECONDITION_FAILED - The binding key must be an integer: {shown}")
        if int(key) < 1:
            raise ChannelError(406, "PRECONDITION_FAILED - The binding key must be greater than 0")

    def insert(self, binding: Binding) -> None:
        self._shares[binding.identity] = binding
        self._changed = True

    def erase(self, binding: Binding) -> None:
        del self._shares[binding.identity]
        self._changed = True

    def matches(self, key: str, headers: Headers) -> list[Destination]:
        if self._changed:
            self._arrange()
        if not self._ends:
            return []
        value = self._value(key, headers).encode("utf-8", "surrogateescape")
        number = int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big")
        bucket = jump(number, self._ends[-1])
        return [self._destinations[bisect_right(self._ends, bucket)]]

    def _arrange(self) -> None:
        self._changed = False
        self._destinations = []
        self._ends = []
        seen: set[tuple[str, str]] = set()
        total = 0
        for binding in self._shares.values():
            destination = binding.destination
            if (destination.kind, destination.name) not in seen:
                seen.add((destination.kind, destination.name))
                total += int(binding.key)
                self._destinations.append(destination)
                self._ends.append(total)

    def _value(self, key: str, headers: Headers) -> str:
        """What is hashed; messages without it all go the same way."""
        if self._header:
            value = headers.table().get(self._header)
        elif self._property:
            value = headers.property(self._property)
        else:
            return key
        return value if isinstance(value, str) else repr(value)


def jump(number: int, buckets: int) -> int:
    """The bucket, from 0, of a 64-bit number among so many. With one bucket more it is the same one, or the new one."""
    bucket, following = -1, 0
    while following < buckets:
        bucket = following
        number = (number * 2862933555777941757 + 1) & 0xFFFF_FFFF_FFFF_FFFF
        following = ((bucket + 1) << 31) // ((number >> 33) + 1)
    return bucket


def check_arguments(resource: str, arguments: dict[str, object]) -> None:
    """406 unless a consistent-hash exchange can be declared so."""
    for name in (HEADER, PROPERTY):
        if name in arguments and not isinstance(arguments[name], str):
            _refuse(f"invalid type '{type_name(arguments[name])}' for arg '{name}' in {resource}")
    if HEADER in arguments and PROPERTY in arguments:
        _refuse("hash-header and hash-property are mutually exclusive")
    if PROPERTY in arguments and arguments[PROPERTY] not in PROPERTIES:
        _refuse(f"Unsupported property: {arguments[PROPERTY]}")


def _refuse(text: str) -> None:
    raise ChannelError(406, f"PRECONDITION_FAILED - {text}")
