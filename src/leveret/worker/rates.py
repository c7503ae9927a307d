"""How often tasks may begin: a token for each beginning, in a queue that has room for so many and keeps each for the period.

The queue `leveret.rate.MOST-MS.NAME.KEY` refuses what is one too many: a window that slides, counted by the broker, with nothing
to be cleaned up after anybody. Used by worker/gates and waiting.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from leveret.client import Connection, StandingChannel
from leveret.errors import Nacked, Unroutable
from leveret.tasks.limits import RATE, Rate, named

WAIT_S: Final = 5.0
"""The longest that somebody waits before he asks again, since he does not know of all tokens."""

KNOWN_MAX: Final = 10_000
EXPIRES_MS: Final = 60_000


class Rates:
    def __init__(self, connection: Connection) -> None:
        self._channel = StandingChannel(connection, confirms=True)
        self._taken: dict[str, deque[float]] = {}

    async def take(self, rate: Rate, name: str, key: str) -> float:
        """0 if one may begin now; else in how many seconds it is worth asking again. Raises what the client raises."""
        queue = named(RATE, f"{rate.most}-{rate.per_ms}", name, key)
        if await self._publish(rate, queue):
            self._remember(rate, queue)
            return 0.0
        return self._wait_s(rate, queue)

    async def _publish(self, rate: Rate, queue: str) -> bool:
        while True:
            channel = await self._channel.get()
            try:
                await channel.publish(b"", routing_key=queue, mandatory=True)
            except Nacked:
                return False
            except Unroutable:
                await channel.queue_declare(queue, durable=True, arguments=arguments(rate), remember=False)
            else:
                return True

    def _remember(self, rate: Rate, queue: str) -> None:
        if len(self._taken) >= KNOWN_MAX:
            self._taken.clear()
        self._taken.setdefault(queue, deque(maxlen=rate.most)).append(time.monotonic())

    def _wait_s(self, rate: Rate, queue: str) -> float:
        """Until the oldest token that is known here is gone; of others' nobody knows more than the mean."""
        wait_s = min(rate.pace_s, WAIT_S)
        known = self._taken.get(queue)
        now = time.monotonic()
        while known and known[0] + rate.per_s <= now:
            known.popleft()
        if not known:
            self._taken.pop(queue, None)
            return wait_s
        return min(wait_s, known[0] + rate.per_s - now)


def arguments(rate: Rate) -> dict[str, Any]:
    return {
        "x-queue-type": "classic",
        "x-message-ttl": rate.per_ms,
        "x-max-length": rate.most,
        "x-overflow": "reject-publish",
        "x-expires": rate.per_ms + EXPIRES_MS,
    }
