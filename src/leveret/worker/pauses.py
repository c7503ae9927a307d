"""Which of a worker's queues are paused: the worker's half of tasks/pausing.

The broker is asked before a queue is read, after an order, after each lost connection, and every HEARD_S. Where a pause may have
been missed nothing of the queue starts until there is an answer: what is delivered meanwhile waits, and goes back if it is
paused. Used by worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from leveret.client import Backoff, Connection
from leveret.errors import LeveretError
from leveret.tasks.marks import Asking
from leveret.tasks.pausing import HEARD_S, mark_of
from leveret.worker.slots import Slots
from leveret.worker.source import Source

log = logging.getLogger("leveret.worker")


class Pauses:
    """Of `sources`, none of which is read before `tend` has begun."""

    def __init__(self, connection: Connection, slots: Slots, sources: Sequence[Source]) -> None:
        self._asking = Asking(connection)
        self._slots = slots
        self._sources = {source.queue: source for source in sources}
        self._unsure: set[str] = set()
        self._some = asyncio.Event()
        self._backoff = Backoff()
        self.paused: set[str] = set()
        for source in sources:
            source.pause()
        self.doubt()

    def doubt(self, queue: str = "") -> None:
        """One of them, or each, may have been paused or resumed."""
        for name in self._sources if not queue else {queue} & self._sources.keys():
            self._slots.hold(name)
            self._unsure.add(name)
            self._some.set()

    async def tend(self) -> None:
        """Until cancelled."""
        while True:
            unsure, self._unsure = self._unsure, set()
            self._some.clear()
            for queue in sorted(unsure) if unsure else self._sources:
                paused = await self._ask(queue)
                if queue not in self._unsure:  # else it is asked once more
                    self._decide(queue, paused)
            try:
                async with asyncio.timeout(HEARD_S):
                    await self._some.wait()
            except TimeoutError:
                continue

    async def _ask(self, queue: str) -> bool:
        """Until there is an answer."""
        attempt = 0
        while True:
            try:
                return await self._asking.stands(mark_of(queue), queue in self.paused)
            except LeveretError as error:
                log.warning("whether queue=%s is paused cannot be told yet: %s", queue, error)
            await self._backoff.wait(attempt)
            attempt += 1

    def _decide(self, queue: str, paused: bool) -> None:
        source = self._sources[queue]
        if paused:
            if queue not in self.paused:
                log.info("queue=%s is paused", queue)
            self.paused.add(queue)
            self._slots.hold(queue)
            source.pause()
        else:
            if queue in self.paused:
                log.info("queue=%s is read again", queue)
            self.paused.discard(queue)
            source.resume()
            self._slots.let(queue)
