"""Waits before the next attempt to connect, as long as pauses says.

Waiting is handed in, so that tests run without. Used by client, tasks and worker.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from leveret.spacing import Spacing

MAX_S: Final = 5.0
"""A broker that is back after a minute is not to wait half a minute more for its workers."""


class Backoff(Spacing):
    """`sleep` waits that many seconds."""

    def __init__(
        self,
        first_s: float = 0.2,
        max_s: float = MAX_S,
        *,
        fraction: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(first_s, max_s, fraction=fraction)
        self._sleep = sleep

    async def wait(self, attempt: int) -> None:
        await self._sleep(self.delay_s(attempt))
