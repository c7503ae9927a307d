"""Finds out which of several messages with one id is the first: of a scheduled task that was sent twice one is run.

A claim is a queue of the id's name that holds one message and refuses a second. A message that was begun before, and comes
back, does not ask: the claim it would find is its own. Used by runner.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from leveret.client import Backoff, BasicProperties, Connection, StandingChannel
from leveret.errors import LeveretError, Nacked
from leveret.tasks.message import PERSISTENT

log = logging.getLogger("leveret.worker")

CLAIM: Final = "leveret.once."
KEPT_MS: Final = 24 * 3600 * 1000
ARGUMENTS: Final[dict[str, Any]] = {
    "x-queue-type": "classic",
    "x-expires": KEPT_MS,
    "x-max-length": 1,
    "x-overflow": "reject-publish",
}


class Claims:
    def __init__(self, connection: Connection) -> None:
        self._channel = StandingChannel(connection, confirms=True)

    async def take(self, id: str) -> bool:
        """Whether nobody had it. Asks until there is an answer."""
        backoff, attempt = Backoff(), 0
        while True:
            try:
                return await self._take(id)
            except LeveretError as error:
                log.warning("whether task id=%s was begun before cannot be told yet: %s", id, error)
            await backoff.wait(attempt)
            attempt += 1

    async def _take(self, id: str) -> bool:
        channel = await self._channel.get()
        await channel.queue_declare(CLAIM + id, durable=True, arguments=ARGUMENTS)
        try:
            await channel.publish(b"", routing_key=CLAIM + id, properties=BasicProperties(delivery_mode=PERSISTENT))
        except Nacked:
            return False
        return True
