"""A consumer, and the ring of those that have room.

A consumer without room leaves the ring and is not looked at until an ack, a larger prefetch or a drained socket gives
it room again. Owned by broker/queue; broker/channel counts what a consumer holds.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.queue import Queue


NEVER_MS: Final = 1 << 60
"""The acknowledgement timeout of who has none."""


class Consumer:
    def __init__(
        self,
        tag: str,
        channel: Channel,
        queue: Queue,
        no_ack: bool,
        exclusive: bool,
        prefetch: int,
        arguments: dict[str, object],
    ) -> None:
        encoded = tag.encode("utf-8", "surrogateescape")
        # First what every message touches, side by side in memory: as in broker/queue.
        self.unacked: int = 0
        self.prefetch: Final = prefetch
        self.channel: Final = channel
        self.tag_encoded: Final = bytes((len(encoded),)) + encoded
        self.no_ack: Final = no_ack
        self.in_ring: bool = False
        self.waits: bool = False  # for its channel's limit
        self.cancelled: bool = False
        # How long it may hold a message unacknowledged, in ms; 0: for ever.
        timeout = arguments.get("x-consumer-timeout", queue.consumer_timeout_ms)
        self.timeout_ms: Final = timeout if isinstance(timeout, int) and timeout else NEVER_MS
        self.tag: Final = tag
        self.queue: Final = queue
        self.exclusive: Final = exclusive
        self.arguments: Final = arguments
        priority = arguments.get("x-priority")
        self.priority: Final = priority if isinstance(priority, int) else 0

    def has_room(self) -> bool:
        """May another message be sent to it? If not because of its channel or socket, that remembers it."""
        if not self.no_ack:
            if self.prefetch and self.unacked >= self.prefetch:
                return False
            channel = self.channel
            if channel.limit and channel.unacked.count >= channel.limit:
                if not self.waits:
                    self.waits = True
                    channel.waiting.append(self)
                return False
        if self.channel.peer.congested:
            self.channel.peer.waiting.append(self)
            return False
        return True


class Ring:
    """The consumers of a queue that had room when last looked at: those of the highest priority first, each in turn."""

    def __init__(self) -> None:
        self._count: int = 0
        # Who came when there was nobody else, until somebody does: it needs no turn.
        self._alone: Consumer | None = None
        # Nearly always all consumers are of one priority: those are reached without a look-up.
        self._highest: int = 0
        self._turn: deque[Consumer] = deque()
        self._turns: dict[int, deque[Consumer]] = {0: self._turn}
        self._lower: list[deque[Consumer]] = []

    def offer(self, consumer: Consumer) -> None:
        """The consumer may have room (again): it takes its place at the end of those of its priority."""
        if consumer.in_ring or consumer.cancelled:
            return
        consumer.in_ring = True
        self._count += 1
        if self._count == 1:
            self._alone = consumer
            return
        if self._alone is not None:
            self._turn_of(self._alone.priority).append(self._alone)
            self._alone = None
        self._turn_of(consumer.priority).append(consumer)

    def _turn_of(self, priority: int) -> deque[Consumer]:
        if priority == self._highest:
            return self._turn
        if priority not in self._turns:
            self._turns[priority] = deque()
            self._highest, *lower = sorted(self._turns, reverse=True)
            self._turn = self._turns[self._highest]
            self._lower = [self._turns[number] for number in lower]
        return self._turns[priority]

    def next(self) -> Consumer | None:
        """Whose turn it is; that one goes to the end. Those that have no room any more are dropped on the way."""
        if not self._count:
            return None
        alone = self._alone
        if alone is not None:
            if not alone.cancelled and alone.has_room():
                return alone
            alone.in_ring = False
            self._count = 0
            self._alone = None
            return None
        found = self._next_of(self._turn)
        if found is None:
            for turn in self._lower:
                found = self._next_of(turn)
                if found is not None:
                    break
        return found

    def _next_of(self, turn: deque[Consumer]) -> Consumer | None:
        while turn:
            consumer = turn.popleft()
            if not consumer.cancelled and consumer.has_room():
                turn.append(consumer)
                return consumer
            consumer.in_ring = False
            self._count -= 1
        return None

    def __bool__(self) -> bool:
        return self._count > 0
