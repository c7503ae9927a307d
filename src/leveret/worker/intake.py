"""All by which a worker takes messages: a source for each queue, who is paused, and the scheduler. Made by worker.

They are begun together and ended together, and begun again if a quiet worker is resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from leveret.worker.pauses import Pauses
from leveret.worker.scheduler import Scheduler
from leveret.worker.slots import Slots
from leveret.worker.source import Source


class Intake:
    def __init__(self, slots: Slots, sources: Sequence[Source], pauses: Pauses, scheduler: Scheduler | None) -> None:
        self._slots = slots
        self._sources = sources
        self.pauses = pauses
        self._scheduler = scheduler
        self.tending: list[asyncio.Task[None]] = []
        """None of them ends by itself, but by an error of our own."""

    def begin(self) -> None:
        self._slots.open()
        self.pauses.doubt()
        lives = [self.pauses.tend(), *(source.tend() for source in self._sources)]
        if self._scheduler is not None:
            lives.append(self._scheduler.tend())
        self.tending = [asyncio.create_task(life) for life in lives]

    @property
    def broken(self) -> BaseException | None:
        """What ended it, if it was not ended."""
        ended = (task for task in self.tending if task.done() and not task.cancelled())
        return next((error for task in ended if (error := task.exception()) is not None), None)

    async def end(self) -> None:
        """Nothing starts any more; what waited for a slot is back in its queue."""
        self._slots.close()
        for task in self.tending:
            task.cancel()
        await asyncio.gather(*self.tending, return_exceptions=True)
        await asyncio.gather(*(source.quiet() for source in self._sources))
        if self._scheduler is not None:
            await self._scheduler.close()
