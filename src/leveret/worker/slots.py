"""How many tasks may run at once in this process, and which deliveries wait for one to end.

Prefetch counts per queue, slots per process: with several queues more may arrive than can run. What waits too long is
withdrawn by its source and given back, so that a long task here keeps no message from an idle worker elsewhere.
Knows nothing of AMQP. Used by worker and source.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from mypy_extensions import mypyc_attr

from leveret.client import Delivery

Start = Callable[[str, Delivery], None]
"""Begins the work on a delivery of a queue; `release` is called when it is over."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Slots:
    """`room` is set while a slot is free; `ended` counts the tasks that made room. While `closed`, nothing starts, and nothing
    of a queue that is held.

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
        self._held: set[str] = set()
        self._due: dict[str, int] = {}
        """By queue, how far it is behind its share; they add up to 0."""

    def offer(self, queue: str, delivery: Delivery) -> bool:
        """Start it, or let it wait; whether it was started."""
        if self.closed or not self.free or queue in self._held:
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
        if not self._start_next():
            self.free += 1
            self.room.set()

    def _start_next(self) -> bool:
        """False if nothing waits that may begin."""
        while not self.closed:
            queue = self._next()
            if queue is None:
                return False
            delivery = self._waiting[queue].popleft()
            if not self._waiting[queue]:
                del self._waiting[queue]
            if not delivery.lost:
                self._start(queue, delivery)
                return True
        return False

    def _next(self) -> str | None:
        """Smooth weighted round-robin: each is owed its weight, and the one that is owed most pays for all."""
        able = [queue for queue in self._waiting if queue not in self._held]
        if len(able) < 2:
            return able[0] if able else None
        weights = {queue: self._weight(queue) for queue in able}
        for queue, weight in weights.items():
            self._due[queue] = self._due.get(queue, 0) + weight
        chosen = max(weights, key=lambda queue: self._due[queue])
        self._due[chosen] -= sum(weights.values())
        return chosen

    def hold(self, queue: str) -> None:
        """Nothing of it starts until it is let: what waits goes on waiting."""
        self._held.add(queue)

    def let(self, queue: str) -> None:
        self._held.discard(queue)
        while self.free and self._start_next():
            self.free -= 1
            if not self.free:
                self.room.clear()

    def close(self) -> None:
        """What waits, and what is still offered, waits until it is withdrawn."""
        self.closed = True

    def open(self) -> None:
        """Once all that waited is withdrawn."""
        self.closed = False

    def busy(self, queue: str) -> bool:
        """Whether a slot that becomes free is wanted for what waits here, or nothing more of `queue` is to begin."""
        return self.closed or bool(self._waiting) or queue in self._held

    def crowded(self, queue: str) -> bool:
        """Whether any of `queue` wait."""
        return queue in self._waiting

    def withdraw(self, queue: str) -> list[Delivery]:
        """Those of `queue` that wait wait no more."""
        return list(self._waiting.pop(queue, ()))
