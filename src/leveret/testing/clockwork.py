"""The broker itself on virtual time: its clock stands still, and goes from one due moment to the next when told to.

The server reads no clock but `now_ms`, and the broker's timers are told the time, so nothing else has to be replaced.
Heartbeats and deadlines of connections are the event loop's, and stay real. Run by embedded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from leveret.broker.queue import Queue
from leveret.server.config import Config
from leveret.server.gauges import Gauges
from leveret.server.server import Server
from leveret.tasks.ladder import LANE
from leveret.testing.place import RUNG_NAMES

NO_GAUGES: Final = Gauges(lambda: 0, lambda: 0, lambda directory: 0, lambda: None)
VHOST: Final = "/"
LOOK_S: Final = 0.02
"""Between two looks at whether the worker is done."""
CREEP_MS: Final = 20
"""The broker's own pauses (long work goes on in the next turn, publishers are held for a moment) are no longer than this:
for them time passes by itself, by a few ms."""


class ClockworkServer(Server):
    """`turned` is set at the end of each turn of the loop in which anything happened."""

    def __init__(self, config: Config) -> None:
        self._now_ms = time.time_ns() // 1_000_000
        self._creeping = False
        self.turned = asyncio.Event()
        super().__init__(config, gauges=NO_GAUGES)

    def now_ms(self) -> int:
        return self._now_ms

    def _end_turn(self, quiet: bool) -> None:
        super()._end_turn(quiet)
        self.turned.set()

    def _set_timer(self) -> None:
        at = self._pause_ends_at()
        if at and not self._creeping:
            self._creeping = True
            self.loop.call_later(max(0, at - self._now_ms) / 1000, self._creep)

    def _creep(self) -> None:
        self._creeping = False
        at = self._pause_ends_at()
        if at:
            self._go_to(at)
            self._set_timer()

    def _pause_ends_at(self) -> int:
        """If the broker itself is who waits next, and not a task that is nearly due; else 0."""
        at = self.broker.timers.next_at()
        if not at or at - self._now_ms > CREEP_MS:
            return 0
        return 0 if at in self._due() else at

    def _due(self) -> list[int]:
        """When the first message of each rung goes on."""
        rungs = (self.queue(name) for name in RUNG_NAMES)
        return [at for queue in rungs if queue is not None and (at := queue.backlog.next_expiry())]

    def _late(self) -> bool:
        """More is due than goes in one turn."""
        return any(at <= self._now_ms for at in self._due())

    def _go_to(self, at_ms: int) -> None:
        self._now_ms = max(self._now_ms, at_ms)
        self.turn()
        self.broker.at(self._now_ms)  # the turn may have begun before

    # ---- what the harness asks, on the loop

    def advance(self, until_ms: int, queues: Iterable[str]) -> bool:
        """See Place.advance. What the broker's own pauses add to the way of many messages is added to `until_ms`."""
        names = list(queues)
        while (at := self.broker.timers.next_at()) > 0 and (at <= until_ms or self._late()):
            if self._pause_ends_at():
                until_ms += max(0, at - self._now_ms)
            self._go_to(at)
            if self.busy(names):
                return True
        self._go_to(until_ms)
        self._set_timer()
        return False

    def busy(self, queues: Iterable[str]) -> bool:
        """What is ready in a lane is called by a ticket, which is in one of the queues, or is to come."""
        found = (self.queue(name) for name in queues)
        return any(queue.backlog.count or queue.unacked for queue in found if queue is not None) or any(
            lane.unacked for lane in self.lanes()
        )

    async def idle(self, queues: Iterable[str], working: Callable[[], bool]) -> None:
        names = list(queues)
        while self.busy(names) or working():
            self.turned.clear()
            with suppress(TimeoutError):  # the end of some work is no event of the broker's
                await asyncio.wait_for(self.turned.wait(), LOOK_S)

    def lanes(self) -> list[Queue]:
        """See tasks/lane."""
        return [queue for name, queue in self.broker.vhosts[VHOST].queues.items() if name.startswith(LANE)]

    def queue(self, name: str) -> Queue | None:
        return self.broker.vhosts[VHOST].queues.get(name)
