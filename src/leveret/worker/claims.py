"""Finds out which of several messages with one id is the first: of a task that was sent twice one is run.

A claim is a queue of the id's name that was declared with the name of one copy among its arguments: a second copy is
refused, and the first one, when it comes back, finds that the claim is its own. A broker answers that in one turn. Used by
runner.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from leveret.client import Backoff, Channel, Connection, StandingChannel
from leveret.errors import ChannelError, LeveretError
from leveret.tasks.topology import PRECONDITION_FAILED

log = logging.getLogger("leveret.worker")

CLAIM: Final = "leveret.once."
KEPT_MS: Final = 24 * 3600 * 1000
"""A copy that comes later is run again. It comes as late as the task before it in a workflow takes to be run once more."""

OWNER: Final = "x-dead-letter-routing-key"
"""An argument in which every broker takes any text, and by which it tells declarations apart. Nothing is ever in there."""

ARGUMENTS: Final[dict[str, Any]] = {"x-queue-type": "classic", "x-expires": KEPT_MS, "x-dead-letter-exchange": ""}


class Claims:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = StandingChannel(connection)

    async def take(self, id: str, copy: str) -> bool:
        """Whether no other copy had it. Asks until there is an answer."""
        backoff, attempt = Backoff(), 0
        while True:
            try:
                return await self._take(CLAIM + id, copy)
            except LeveretError as error:
                log.warning("whether task id=%s was begun before cannot be told yet: %s", id, error)
            await backoff.wait(attempt)
            attempt += 1

    async def _take(self, queue: str, copy: str) -> bool:
        try:
            await self._declare(await self._channel.get(), queue, copy)
        except ChannelError as error:
            if error.code != PRECONDITION_FAILED:
                raise
            return await self._take_alone(queue, copy)
        return True

    async def _take_alone(self, queue: str, copy: str) -> bool:
        """On the channel that others share the refusal may have been theirs."""
        channel = await self._connection.channel()
        try:
            await self._declare(channel, queue, copy)
        except ChannelError as error:
            if error.code != PRECONDITION_FAILED:
                raise
            return False
        await channel.close()
        return True

    async def _declare(self, channel: Channel, queue: str, copy: str) -> None:
        await channel.queue_declare(queue, durable=True, arguments={**ARGUMENTS, OWNER: copy}, remember=False)
