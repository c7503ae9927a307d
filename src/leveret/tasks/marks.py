"""Marks: what everybody is to know though it was said before they came, kept at the broker, and asked for in silence.

    NAME    a durable queue in which nothing ever is; its arguments say who made the mark, when, and of what
    NAME    a fanout exchange, bound to that queue, to which nothing is ever published

The mark stands while both are bound. Who asks deletes the exchange if it is unused: one that is not there is deleted in
silence, one that is bound to its queue is not. So a mark is made, asked for and taken away while the broker blocks publishers,
nobody who looks into the queue takes it away for a moment, and whoever deletes the queue by hand takes it away for good.
Used by orders and the worker.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from leveret.client import Channel, Connection, StandingChannel
from leveret.errors import ChannelError
from leveret.tasks.topology import PRECONDITION_FAILED

log = logging.getLogger("leveret.tasks")

NOT_FOUND: Final = 404
ACCESS_REFUSED: Final = 403
NAME_BYTES_MAX: Final = 180
"""So that a broker's answer, of 255 octets at most, has the whole name in it."""


def mark_of(prefix: str, what: str) -> str:
    """The name of a mark: `prefix` and what is marked, or its hash if that is too long."""
    name = prefix + what
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    from hashlib import sha256  # which loads OpenSSL, and most names are short

    return f"{prefix}={sha256(what.encode()).hexdigest()}"


async def put(connection: Connection, name: str, about: dict[str, Any]) -> None:
    """Returns when it stands. One that stood before keeps what it says."""
    while True:
        async with await connection.channel() as channel:
            try:
                arguments = {"x-queue-type": "classic", **about}
                await channel.queue_declare(name, durable=True, arguments=arguments, remember=False)
                await channel.exchange_declare(name, "fanout", durable=True, remember=False)
                await channel.queue_bind(name, name, remember=False)
            except ChannelError as error:
                if error.code != NOT_FOUND:  # else it was asked for, or taken away, between two of these
                    raise
            else:
                return


async def take_away(connection: Connection, name: str) -> None:
    """Nothing happens if it does not stand. What somebody else puts there meanwhile stands."""
    async with await connection.channel() as channel:
        await channel.queue_delete(name)
        await stands(channel, name)


async def stands(channel: Channel, name: str) -> bool:
    """If so, the channel is closed by the answer: whoever asked on it too meanwhile has to ask again (ChannelError)."""
    try:
        await channel.exchange_delete(name, if_unused=True)
    except ChannelError as error:
        if error.code != PRECONDITION_FAILED or name not in error.text:
            raise
        return True
    return False


async def still_stands(channel: Channel, name: str) -> bool:
    """Of one that stood a moment ago: this way round it is the other answer that closes the channel."""
    try:
        await channel.queue_declare(name, passive=True)
    except ChannelError as error:
        if error.code != NOT_FOUND or name not in error.text:
            raise
        return False
    return True


class Asking:
    """Asks again and again, on a channel of its own, for one mark after another."""

    def __init__(self, connection: Connection) -> None:
        self._channel = StandingChannel(connection)
        self._refused: set[str] = set()
        """Marks for which this user may not ask; permissions go by names, so others may be open to it."""

    async def stands(self, name: str, stood: bool = False) -> bool:
        """`stood`: as it did when last asked for. The usual one of both answers leaves no error in a broker's log.

        Raises what the client raises; but of a mark for which this user may not ask it is said once that it does not stand.
        """
        if name in self._refused:
            return False
        ask = still_stands if stood else stands
        try:
            return await ask(await self._channel.get(), name)
        except ChannelError as error:
            if error.code != ACCESS_REFUSED:
                raise
            self._refused.add(name)
            log.warning("this user may not ask whether %s stands, and so goes on: %s", name, error)
            return False
