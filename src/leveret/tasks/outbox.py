"""Puts messages into queues for certain: the queue declared, the message mandatory, the broker's confirm awaited.

Lives on the event loop of its connection. Used by sender, for programs, and by the worker, for messages that failed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from leveret.client import BasicProperties, Channel, Connection
from leveret.client.waiting import bounded
from leveret.errors import LeveretError, Unroutable
from leveret.tasks.topology import declare


class Outbox:
    """One confirming channel of `connection`, opened when first needed and again after an error closed it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._channel: Channel | None = None
        self._declared: set[str] = set()
        self._opening = asyncio.Lock()

    async def put(self, queue: str, body: bytes, properties: BasicProperties, timeout_s: float) -> None:
        """Return when the broker has taken the message over, within `timeout_s`.

        Raises WaitTimeout, ConnectionLost (it may or may not have arrived), Nacked, or ChannelError (the queue cannot
        be declared).
        """
        await bounded(self._put(queue, body, properties, timeout_s), timeout_s, f"a message's way to queue {queue!r}")

    async def _put(self, queue: str, body: bytes, properties: BasicProperties, timeout_s: float) -> None:
        channel = await self._open()
        if queue not in self._declared:
            await self._declare(queue)
        try:
            await channel.publish(body, routing_key=queue, properties=properties, mandatory=True, timeout_s=timeout_s)
        except Unroutable:  # somebody deleted the queue since it was declared
            await self._declare(queue)
            await channel.publish(body, routing_key=queue, properties=properties, mandatory=True, timeout_s=timeout_s)

    async def _open(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.closed:
                self._channel = await self.connection.channel(confirms=True)
                self._declared.clear()
            return self._channel

    async def _declare(self, queue: str) -> None:
        """On a channel for this alone: a queue that is declared otherwise must not end what others await on ours."""
        channel = await self.connection.channel()
        try:
            await declare(channel, queue)
            self._declared.add(queue)
        finally:
            with suppress(LeveretError):  # closed by the refusal
                await channel.close()
