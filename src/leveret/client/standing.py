"""A channel that is opened when it is first needed, and again after an error closed it. Used by tasks and worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from leveret.client.channel import Channel
from leveret.client.connection import Connection


class StandingChannel:
    """`opened` is called when there is a new one, which knows nothing of what was done on the last."""

    def __init__(
        self, connection: Connection, *, confirms: bool = False, opened: Callable[[Channel], None] | None = None
    ) -> None:
        self.connection = connection
        self._confirms = confirms
        self._opened = opened
        self._channel: Channel | None = None
        self._left: Channel | None = None
        self._opening = asyncio.Lock()

    @property
    def ready(self) -> Channel | None:
        """The one that `get` gives without waiting, if there is one."""
        return None if self._channel is None or self._channel.closed else self._channel

    async def get(self) -> Channel:
        """Raises what Connection.channel raises."""
        if self._channel is not None and not self._channel.closed:
            return self._channel
        async with self._opening:
            if self._channel is None or self._channel.closed:
                self._channel = await self.connection.channel(confirms=self._confirms)
                if self._opened is not None:
                    self._opened(self._channel)
            return self._channel

    async def leave(self, channel: Channel) -> None:
        """Use another one from now on. Others may still wait for their confirms on it, so it is closed when the next is left."""
        if channel is not self._channel:
            return
        self._channel, left, self._left = None, self._left, channel
        if left is not None:
            await left.close()
