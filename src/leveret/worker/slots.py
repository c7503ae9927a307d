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
from leveret.worker.standby import Standby

Start = Callable[[str, Delivery], None]
"""Begins the work on a delivery of a queue; `release` is called when it is over."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Slots:
    """`room` is set while a slot is free; `ended` counts the tasks that made room. While `closed`, nothing starts, and nothing
    of a queue that is held.

    Of several queues that have something waiting, each has its turns by its `weight`, evenly spread. Those whose turn is next may
    stand by, to begin without being told.
    """

    def __init__(
        self, number: int, start: Start, weight: Callable[[str], int] = lambda _: 1, standby: Standby | None = None
    ) -> None:
        self.number = number
        self.free = number
        self.ended = 0
        self.room = asyncio.Event()
        self.room.set()
        self.closed = False
        self._start = start
        self._weight = weight
        self._standby = standby
        self._passed_on = 0
        """Of so many slots that are released next another task has taken possession."""
        self._waiting: dict[str, deque[Delivery]] = {}
        self._held: set[str] = set()
        self._due: dict[str, int] = {}
        """By queue, how far it is behind its share; they add up to 0."""

    def offer(self, queue: str, delivery: Delivery) -> bool:
        """Start it, or let it wait; whether it was started."""
        if self.closed or not self.free or queue in self._held:
            self._waiting.setdefault(queue, deque()).append(delivery)
            self._stand_by()
            return False
        self.free -= 1
        if not self.free:
            self.room.clear()
        self._start(queue, delivery)
        return True

    def release(self) -> None:
        """A task has ended: the next one begins. One whose connection is lost comes again by itself."""
        self.ended += 1
        if self._passed_on:
            self._passed_on -= 1
        elif not self._start_next():
            self.free += 1
            self.room.set()
        self._stand_by()

    def pass_on(self) -> None:
        """One that stood by has begun in the slot of one that has ended, and is about to be released."""
        self._passed_on += 1

    def _start_next(self) -> bool:
        """False if nothing waits that may begin."""
        if self._standby is not None and self._standby.begin_first():
            return True
        while not self.closed:
            queue = self._next()
            if queue is None:
                return False
            delivery = self._draw(queue)
            if not delivery.lost:
                self._start(queue, delivery)
                return True
        return False

    def _next(self) -> str | None:
        """Smooth weighted round-robin: each is owed its weight, and the one that is owed most pays for all when it is drawn from."""
        able = self._able()
        if len(able) < 2:
            return able[0] if able else None
        return max(able, key=lambda queue: self._due.get(queue, 0) + self._weight(queue))

    def _able(self) -> list[str]:
        return [queue for queue in self._waiting if queue not in self._held]

    def _draw(self, queue: str) -> Delivery:
        """The first of it, which waits no more."""
        able = self._able()
        if len(able) > 1:
            for one in able:
                weight = self._weight(one)
                self._due[one] = self._due.get(one, 0) + weight
                self._due[queue] = self._due.get(queue, 0) - weight
        delivery = self._waiting[queue].popleft()
        if not self._waiting[queue]:
            del self._waiting[queue]
        return delivery

    def _stand_by(self) -> None:
        """As many of those whose turn is next as may."""
        standby = self._standby
        if standby is None or self.free or self.closed:
            return
        while self._waiting:
            queue = self._next()
            if queue is None or not standby.wants(queue) or not standby.add(queue, self._waiting[queue][0]):
                return
            self._draw(queue)

    def _recall(self, queue: str) -> None:
        """Those of it that stand by are again the first that wait."""
        if self._standby is not None and (recalled := self._standby.recall(queue)):
            self._waiting.setdefault(queue, deque()).extendleft(reversed(recalled))

    def hold(self, queue: str) -> None:
        """Nothing of it starts until it is let: what waits goes on waiting."""
        self._held.add(queue)
        self._recall(queue)

    def let(self, queue: str) -> None:
        self._held.discard(queue)
        while self.free and self._start_next():
            self.free -= 1
            if not self.free:
                self.room.clear()
        self._stand_by()

    def close(self) -> None:
        """What waits, and what is still offered, waits until it is withdrawn."""
        self.closed = True
        for queue in [] if self._standby is None else self._standby.queues():
            self._recall(queue)

    def open(self) -> None:
        """Once all that waited is withdrawn."""
        self.closed = False

    def busy(self, queue: str) -> bool:
        """Whether a slot that becomes free is wanted for what waits here, or nothing more of `queue` is to begin."""
        wanted = self._waiting or self._standby or self._passed_on
        return self.closed or bool(wanted) or queue in self._held

    def crowded(self, queue: str) -> bool:
        """Whether any of `queue` wait."""
        return queue in self._waiting or (self._standby is not None and self._standby.has(queue))

    def withdraw(self, queue: str) -> list[Delivery]:
        """Those of `queue` that wait wait no more."""
        self._recall(queue)
        return list(self._waiting.pop(queue, ()))
