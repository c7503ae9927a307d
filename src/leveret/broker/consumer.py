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
        self.tag: Final = tag
        self.tag_encoded: Final = bytes((len(encoded),)) + encoded
        self.channel: Final = channel
        self.queue: Final = queue
        self.no_ack: Final = no_ack
        self.exclusive: Final = exclusive
        self.prefetch: Final = prefetch
        self.arguments: Final = arguments
        priority = arguments.get("x-priority")
        self.priority: Final = priority if isinstance(priority, int) else 0
        self.unacked: int = 0
        self.in_ring: bool = False
        self.waits: bool = False  # for its channel's limit
        self.cancelled: bool = False

    def has_room(self) -> bool:
        """May another message be sent to it? If not because of its channel or socket, that remembers it."""
        if not self.no_ack:
            if self.prefetch and self.unacked >= self.prefetch:
                return False
            channel = self.channel
            if channel.limit and len(channel.unacked) >= channel.limit:
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
        self._turns: dict[int, deque[Consumer]] = {}
        self._priorities: list[int] = []
        self._count: int = 0

    def offer(self, consumer: Consumer) -> None:
        """The consumer may have room (again): it takes its place at the end of those of its priority."""
        if consumer.in_ring or consumer.cancelled:
            return
        consumer.in_ring = True
        self._count += 1
        turn = self._turns.get(consumer.priority)
        if turn is None:
            turn = self._turns[consumer.priority] = deque()
            self._priorities = sorted(self._turns, reverse=True)
        turn.append(consumer)

    def next(self) -> Consumer | None:
        """Whose turn it is; that one goes to the end. Those that have no room any more are dropped on the way."""
        if not self._count:
            return None
        for priority in self._priorities:
            turn = self._turns[priority]
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
