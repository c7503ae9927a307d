"""How many tasks may run at once in this process, and which deliveries wait for one to end.

Prefetch counts per queue, slots per process: with several queues more may arrive than can run. What waits too long is
withdrawn by its source and given back, so that a long task here keeps no message from an idle worker elsewhere.
Knows nothing of AMQP. Used by worker and source.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from leveret.client import Delivery

Start = Callable[[str, Delivery], None]
"""Begins the work on a delivery of a queue; `release` is called when it is over."""


class Slots:
    """`room` is set while a slot is free; `ended` counts the tasks that made room. Once `closed`, nothing starts any more.

    Of several queues that have something waiting, each has its turns by its `weight`, evenly spread.
    """

    def __init__(self, number: int, start: Start, weight: Callable[[str], int] = lambda _: 1) -> None:
        self.number = number
        self.free = number
        self.ended = 0
        self.room = asyncio.Event()
        self.room.set()
        self.closed = False
        self._start = start
        self._weight = weight
        self._waiting: dict[str, deque[Delivery]] = {}
        self._due: dict[str, int] = {}
        """By queue, how far it is behind its share; they add up to 0."""

    def offer(self, queue: str, delivery: Delivery) -> bool:
        """Start it, or let it wait; whether it was started."""
        if self.closed or not self.free:
            self._waiting.setdefault(queue, deque()).append(delivery)
            return False
        self.free -= 1
        if not self.free:
            self.room.clear()
        self._start(queue, delivery)
        return True

    def release(self) -> None:
        """A task has ended: the next one begins. One whose connection is lost comes again by itself."""
        self.ended += 1
        while self._waiting and not self.closed:
            queue = self._next()
            delivery = self._waiting[queue].popleft()
            if not self._waiting[queue]:
                del self._waiting[queue]
            if not delivery.lost:
                self._start(queue, delivery)
                return
        self.free += 1
        self.room.set()

    def _next(self) -> str:
        """Smooth weighted round-robin: each is owed its weight, and the one that is owed most pays for all."""
        if len(self._waiting) == 1:
            return next(iter(self._waiting))
        weights = {queue: self._weight(queue) for queue in self._waiting}
        for queue, weight in weights.items():
            self._due[queue] = self._due.get(queue, 0) + weight
        chosen = max(weights, key=lambda queue: self._due[queue])
        self._due[chosen] -= sum(weights.values())
        return chosen

    def close(self) -> None:
        """What waits, and what is still offered, waits until it is withdrawn."""
        self.closed = True

    def crowded(self, queue: str) -> bool:
        """Whether any of `queue` wait."""
        return queue in self._waiting

    def withdraw(self, queue: str) -> list[Delivery]:
        """Those of `queue` that wait wait no more."""
        return list(self._waiting.pop(queue, ()))
