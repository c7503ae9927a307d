"""What became of messages that were not simply delivered and acknowledged: given back, dead-lettered, dropped, purged.

Noted on those rare paths only, added up, and bounded between two looks: of very many it is known how many they were, not
which. Filled by broker/settlement, queue and vhost; taken by whoever keeps a history (Broker.take_notes).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from leveret.errors import CodecError
from leveret.wire.properties import decode_properties

if TYPE_CHECKING:
    from leveret.broker.leaving import Part
    from leveret.broker.message import Message
    from leveret.broker.queue import Queue
    from leveret.broker.timers import Clock

REQUEUED: Final = "requeued"
DEAD_LETTERED: Final = "dead-lettered"
DROPPED: Final = "dropped"
PURGED: Final = "purged"

KINDS_MAX: Final = 1_000
"""Notices between two looks."""

IDS_MAX: Final = 200
"""Messages that are named between two looks, in all notices."""


class Noted:
    """`number` messages of a queue: the first of them at `at_ms`; `ids` of those that have one, as far as there was room."""

    def __init__(self, at_ms: int, vhost: str, queue: str, what: str, why: str, connection: str) -> None:
        self.at_ms: Final = at_ms
        self.vhost: Final = vhost
        self.queue: Final = queue
        self.what: Final = what
        self.why: Final = why
        self.connection: Final = connection
        self.number: int = 0
        self.ids: Final[list[str]] = []


class Notices:
    """Of queues whose names begin with `passing` nothing is noted."""

    def __init__(self, clock: Clock, passing: str) -> None:
        self._clock: Final = clock
        self._passing: Final = passing
        self._noted: dict[tuple[str, str, str, str, str], Noted] = {}
        self._named: int = 0

    def add(self, message: Message, what: str, why: str, connection: str) -> None:
        """Of one message."""
        noted = self._count(message.queue, what, why, connection, 1)
        if noted is not None:
            self._name(noted, message)

    def given_up(self, message: Message, reason: str) -> None:
        queue = message.queue
        consumer = message.consumer
        connection = "" if consumer is None else consumer.channel.peer.name
        self.add(message, DROPPED if queue.dead_letters is None else DEAD_LETTERED, reason, connection)

    def purged(self, queue: Queue, number: int, parts: list[Part]) -> None:
        """`parts`: those of them that were in memory."""
        noted = self._count(queue, PURGED, "purged", "", number) if number else None
        if noted is not None:
            for returned, window in parts:
                for _, message in returned[:IDS_MAX]:
                    self._name(noted, message)
                for message in islice(window, IDS_MAX):
                    self._name(noted, message)

    def deleted(self, queue: Queue, number: int) -> None:
        if number:
            self._count(queue, PURGED, "queue deleted", "", number)

    def _count(self, queue: Queue, what: str, why: str, connection: str, number: int) -> Noted | None:
        """None if there is no room for another notice."""
        if queue.name.startswith(self._passing):
            return None
        key = (queue.vhost.name, queue.name, what, why, connection)
        noted = self._noted.get(key)
        if noted is None:
            if len(self._noted) >= KINDS_MAX:
                return None
            noted = self._noted[key] = Noted(self._clock.now, queue.vhost.name, queue.name, what, why, connection)
        noted.number += number
        return noted

    def _name(self, noted: Noted, message: Message) -> None:
        """Of a message whose content is on disk alone the id is not known."""
        if self._named < IDS_MAX and message.header:
            self._named += 1
            id = message_id(message.header)
            if id:
                noted.ids.append(id)

    def take(self) -> list[Noted]:
        """All since the last time."""
        noted = list(self._noted.values())
        self._noted = {}
        self._named = 0
        return noted


def message_id(header: bytes) -> str:
    """Empty if it has none, or its properties cannot be read."""
    try:
        return decode_properties(header, 12).message_id or ""
    except CodecError:
        return ""
