"""The places of concurrency limits: who consumes from the queue `leveret.limit.NAME.KEY` has one.

Taken by consuming and then counting the consumers: more than there are places, and it is given up again. So there are never
too many, nothing has to be put there first, and the places of a worker that dies are free as soon as the broker knows that.
Two that come together may both be refused; they try again a moment later.

A place is kept over a lost connection, for its task goes on running here. What is published to the queue, `tell`, is a word
to those who have a place: somebody waits for one (worker/waiting). Used by worker/gates and waiting.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import Any, Final

import msgspec

from leveret.client import Connection, Consumer, StandingChannel
from leveret.tasks.lane import Lane
from leveret.tasks.recent import Recent

log = logging.getLogger("leveret.worker")

TOGETHER_MAX: Final = 3
APART_S: Final = 0.02
TOLD_S: Final = 3600.0
ARGUMENTS: Final[dict[str, Any]] = {
    "x-queue-type": "classic",
    "x-expires": 60_000,
    "x-message-ttl": 60_000,
    "x-max-length": 1,
}


class Place(msgspec.Struct, frozen=True):
    """One of `most` at the queue `name`; who has to wait for it waits in `lane`."""

    name: str
    most: int
    lane: Lane


class Permit(msgspec.Struct, frozen=True):
    place: Place
    consumer: Consumer


class Permits:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._asking = StandingChannel(connection)
        self._holding = StandingChannel(connection)
        self._held: Counter[str] = Counter()
        self._wanted = Recent(TOLD_S)

    async def take(self, place: Place) -> Permit | None:
        """None if all are taken. Raises what the client raises."""
        for _ in range(TOGETHER_MAX):
            if self._held[place.name] >= place.most or await self._consumers(place.name) >= place.most:
                return None
            self._held[place.name] += 1  # before it is certain: others of this process ask at the same time
            permit: Permit | None = None
            try:
                permit = await self._take(place)
            finally:
                if permit is None:
                    self._forget(place.name)
            if permit is not None:
                return permit
            await asyncio.sleep(random.random() * APART_S)
        return None

    async def _take(self, place: Place) -> Permit | None:
        channel = await self._holding.get()
        consumer = await channel.consume(
            place.name,
            lambda _: self._wanted.add(place.name),
            no_ack=True,
            on_close=lambda error: log.warning("the place at %s is not held any more: %s", place.name, error),
        )
        try:
            if await self._consumers(place.name, remember=True) <= place.most:
                return Permit(place, consumer)
        except BaseException:
            await consumer.cancel()
            raise
        await consumer.cancel()
        return None

    async def _consumers(self, name: str, *, remember: bool = False) -> int:
        channel = await self._asking.get()
        return (await channel.queue_declare(name, durable=True, arguments=ARGUMENTS, remember=remember)).consumers

    async def give(self, permit: Permit) -> None:
        """Never raises but when cancelled, or if the broker does not answer in time."""
        try:
            await permit.consumer.cancel()
        finally:
            self._forget(permit.place.name)

    def _forget(self, name: str) -> None:
        """After a reconnect the queue of a place is declared again only as long as one is held."""
        self._held[name] -= 1
        if self._held[name] <= 0:
            del self._held[name]
            self._connection.topology.remove_queue(name)

    # ---- those who wait

    async def free(self, place: Place) -> bool:
        """Whether there is a place just now."""
        return self._held[place.name] < place.most and await self._consumers(place.name) < place.most

    async def tell(self, place: Place) -> None:
        """Those who have the places: somebody waits for one."""
        self._wanted.add(place.name)
        await (await self._asking.get()).publish(b"", routing_key=place.name)

    def wanted(self, place: Place) -> bool:
        """Whether somebody waits, as far as was said here."""
        return place.name in self._wanted

    def nobody(self, place: Place) -> None:
        """Nobody waits any more."""
        self._wanted.discard(place.name)
