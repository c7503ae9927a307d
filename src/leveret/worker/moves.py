"""What the worker does beside running tasks, each in a coroutine of its own: settling, asking, passing on. Used by runner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("leveret.worker")


class Moves:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._moves: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._moves.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._moves.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a message could not be settled", exc_info=task.exception())

    async def wait(self, within_s: float) -> None:
        """For those that are under way."""
        if self._moves:
            await asyncio.wait(self._moves, timeout=within_s)
