"""The delayed-message exchange of RabbitMQ's plugin: a message with an `x-delay` header is routed that much later.

The exchange routes as its `x-delayed-type` does; before that, messages wait in its DelayLine (broker/delay_line). Mandatory
and alternate exchanges count when a message is routed without delay. Made by broker/exchange_types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.delay_line import DelayLine
from leveret.broker.exchange import Binding, Destination, Exchange
from leveret.wire.fields import with_field
from leveret.wire.scan import Scan

if TYPE_CHECKING:
    from leveret.broker.confirms import Confirms
    from leveret.broker.peer import Peer
    from leveret.broker.router import Headers

DELAY_MS_MAX: Final = 2**32 - 1


class DelayedExchange(Exchange):
    """Routes as `inner` does, but what has a delay goes to its line."""

    def __init__(
        self,
        name: str,
        type: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: dict[str, object],
        inner: Exchange,
    ) -> None:
        super().__init__(name, type, durable, auto_delete, internal, arguments)
        self.inner: Final = inner
        self.one_key = inner.one_key
        self.line: DelayLine | None = None

    def check_binding(self, binding: Binding) -> None:
        self.inner.check_binding(binding)

    def insert(self, binding: Binding) -> None:
        self.inner.bind(binding)

    def erase(self, binding: Binding) -> None:
        self.inner.unbind(binding.identity)

    def matches(self, key: str, headers: Headers) -> list[Destination]:
        delay_ms = delay_of(headers.table())
        line = self.line
        if delay_ms > 0 and line is not None:
            return [Entrance(line, with_field(headers.header, headers.at, "x-delay", -delay_ms), delay_ms)]
        return self.inner.matches(key, headers)


def delay_of(table: dict[str, object]) -> int:
    """The delay in milliseconds that a message asks for; 0 if it asks for none that is possible."""
    value = table.get("x-delay")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, float) and 0 < value <= DELAY_MS_MAX:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value <= DELAY_MS_MAX else 0


class Entrance(Destination):
    """The way into a line for one message: with its delay, and its header as it will be, which still names hidden copies.

    There the delay is negative, so that receivers know of it and no exchange delays the message again.
    """

    def __init__(self, line: DelayLine, header: bytes, delay_ms: int) -> None:
        super().__init__("delay", line.name)
        self._line: Final = line
        self._header: Final = header
        self._delay_ms: Final = delay_ms

    def publish(
        self,
        address: bytes,
        header: bytes,
        body: bytes,
        scan: Scan,
        expiration_ms: int,
        confirms: Confirms | None,
        sequence: int,
        peer: Peer | None,
    ) -> None:
        persistent = scan.delivery_mode == 2
        self._line.add(address, self._header, scan.notes, body, persistent, self._delay_ms, confirms, sequence)
