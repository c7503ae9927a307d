"""The peer on whose behalf the HTTP API publishes and gets: a connection without a socket, for one request.

What the broker would send to a client is kept here instead. Used by management/messages and topology.
"""

from __future__ import annotations

import asyncio

from leveret.broker.channel import Channel
from leveret.broker.confirms import Confirms
from leveret.broker.peer import Peer
from leveret.broker.users import User
from leveret.broker.vhost import VirtualHost


class Acting(Peer):
    def __init__(self, user: User) -> None:
        super().__init__()
        self.name = "HTTP API"
        self.user = user.name
        self.tags: tuple[str, ...] = user.tags
        self.returned = False
        self._told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def channel(self, vhost: VirtualHost) -> Channel:
        channel = Channel(1, self, vhost)
        self.channels[1] = channel
        return channel

    def return_unroutable(self, channel: int, exchange: str, routing_key: str, header: bytes, body: bytes) -> None:
        self.returned = True

    def confirms_ready(self, channel: Channel) -> None:
        confirms = channel.confirms
        if confirms is not None and not self._told.done():
            refused, _, _ = confirms.take()
            self._told.set_result(not refused)

    async def confirmed(self) -> bool:
        """False if a queue did not take what was published."""
        return await self._told

    def hold(self) -> None:
        """It sends one message only."""

    def release(self) -> None:
        """See `hold`."""


def confirming(user: User, vhost: VirtualHost) -> tuple[Acting, Channel]:
    peer = Acting(user)
    channel = peer.channel(vhost)
    channel.confirms = Confirms(channel)
    return peer, channel
