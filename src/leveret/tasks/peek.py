"""Looking at the messages of a queue without taking them out: none is acknowledged, and all are back at the end.

While they are looked at nobody else sees them, and afterwards they are marked redelivered. Used by tasks/dead and the
command line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from leveret.client import Channel, Connection, Delivery, QueueDeclared


class Peek:
    """`async with` it: what was not acknowledged meanwhile goes back to its place at the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = await self._connection.channel()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def look(self, queue: str) -> QueueDeclared:
        """How many messages are ready, and how many consumers there are. ChannelError 404 if there is no such queue.

        Quorum queues of RabbitMQ count who looks at messages among the consumers: ask before `read`.
        """
        assert self._channel is not None
        return await self._channel.queue_declare(queue, passive=True)

    async def read(self, queue: str, most: int) -> AsyncIterator[Delivery]:
        """The oldest first, `most` of those that are ready now. ChannelError 404 if there is no such queue."""
        assert self._channel is not None
        for _ in range(min(most, (await self.look(queue)).messages)):
            delivery = await self._channel.get(queue)
            if delivery is None:
                return
            yield delivery
