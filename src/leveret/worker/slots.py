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
    """`room` is set while a slot is free; `ended` counts the tasks that made room. Once `closed`, nothing starts any more."""

    def __init__(self, number: int, start: Start) -> None:
        self.number = number
        self.free = number
        self.ended = 0
        self.room = asyncio.Event()
        self.room.set()
        self.closed = False
        self._start = start
        self._waiting: deque[tuple[str, Delivery]] = deque()

    def offer(self, queue: str, delivery: Delivery) -> bool:
        """Start it, or let it wait; whether it was started."""
        if self.closed or not self.free:
            self._waiting.append((queue, delivery))
            return False
        self.free -= 1
        if not self.free:
            self.room.clear()
        self._start(queue, delivery)
        return True

    def release(self) -> None:
        """A task has ended: the one that waited longest is next. One whose connection is lost comes again by itself."""
        self.ended += 1
        while self._waiting and not self.closed:
            queue, delivery = self._waiting.popleft()
            if not delivery.lost:
                self._start(queue, delivery)
                return
        self.free += 1
        self.room.set()

    def close(self) -> None:
        """What waits, and what is still offered, waits until it is withdrawn."""
        self.closed = True

    def crowded(self, queue: str) -> bool:
        """Whether any of `queue` wait."""
        return any(name == queue for name, _ in self._waiting)

    def withdraw(self, queue: str) -> list[Delivery]:
        """Those of `queue` that wait wait no more."""
        mine = [delivery for name, delivery in self._waiting if name == queue]
        self._waiting = deque(item for item in self._waiting if item[0] != queue)
        return mine
