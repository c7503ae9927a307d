"""An ear: hears in the broker's process of all that is published to an exchange, without a queue, a binding or a connection.

It shows nowhere and keeps nothing; what is published to an exchange that has one is routed, also where nobody else wants it.
Lent to exchanges by broker/vhost when they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.exchange import Destination

if TYPE_CHECKING:
    from leveret.broker.confirms import Confirms
    from leveret.broker.exchange import Exchange
    from leveret.broker.peer import Peer
    from leveret.broker.vhost import VirtualHost
    from leveret.wire.scan import Scan

Hear = Callable[[str, bytes], None]
"""Told the name of the virtual host and a message's body, while it is being published: it is to be quick, and never to raise."""

NAME: Final = "\n\near"
"""No queue can be named so: line feeds are taken out of names."""


class Ear(Destination):
    def __init__(self, vhost: str, hear: Hear) -> None:
        super().__init__("ear", NAME)
        self._vhost: Final = vhost
        self._hear: Final = hear

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
        if confirms is not None:
            confirms.settle(sequence)
        self._hear(self._vhost, body)


def lend_ear(exchange: Exchange, vhost: VirtualHost) -> None:
    """If anybody wants to hear of what is published to exchanges of that name."""
    hear = vhost.commons.ears.get(exchange.name)
    if hear is not None:
        exchange.ear = Ear(vhost.name, hear)
