"""One channel of a connection: its state, and the content that is being put together on it.

A method with content is followed by a header frame and as many body frames as the header's size asks for, with nothing
else of the same channel between (AMQP 0-9-1 section 4.2.6). wire/connection owns channels and feeds them.
"""

from __future__ import annotations

from typing import Final

from leveret.wire.events import Address
from leveret.wire.machine import CHANNEL_OPENING
from leveret.wire.methods import Method
from leveret.wire.pieces import Pieces

IDLE: Final = 0
AWAIT_HEADER: Final = 1
AWAIT_BODY: Final = 2

SMALL_HEADER_BYTES: Final = 1_024
"""A header frame that is larger is counted while its body is awaited."""

NO_METHOD: Final = "expected method frame, got non method frame instead"


class ChannelMachine:
    def __init__(self, number: int) -> None:
        self.number: Final = number
        self.state: int = CHANNEL_OPENING
        self.stage: int = IDLE
        # The content's method: an address for publish, the fields of a delivery, or any other method.
        self.address: Address | None = None
        self.method: Method | None = None
        self.consumer_tag: str = ""
        self.delivery_tag: int = 0
        self.redelivered: bool = False
        self.header: bytes = b""
        self.parts: Final = Pieces()
        self.missing: int = 0
        # Octets of it that the connection counts as unfinished.
        self.held: int = 0

    def expect_content(self, address: Address | None, method: Method | None) -> None:
        self.stage = AWAIT_HEADER
        self.address = address
        self.method = method

    def drop_content(self) -> None:
        """Forget what was begun: the channel is closing, or its content is done."""
        self.stage = IDLE
        self.method = None
        self.header = b""
        self.parts.clear()
        self.held = 0
        self.missing = 0

    def awaited(self) -> str:
        """What should have come where something else did, in RabbitMQ's words."""
        if self.stage == AWAIT_BODY:
            return "expected content body, got non content body frame instead"
        if self.stage == AWAIT_HEADER:
            return "expected content header for class 60, got non content header frame instead"
        return NO_METHOD
