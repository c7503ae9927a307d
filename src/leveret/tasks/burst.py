"""Whoever sends one task after another, and waits for each, gets a connection for just that (client/publisher).

Opened during such a burst, closed when there has been none for a while. Whatever is not simply published, or comes when the
publisher is in use, goes the usual way (tasks/outbox). Used by sender, of which each process has one.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Final

from leveret.client import Connection
from leveret.client.publisher import Publisher, can_be_opened, open_publisher
from leveret.client.threads import LoopThread
from leveret.errors import LeveretError
from leveret.tasks.outbox import Way

log = logging.getLogger("leveret.tasks")

SENDS: Final = 32
WITHIN_S: Final = 1.0
"""So many sends in that time are worth a connection."""

LOOK_S: Final = 0.25
IDLE_LOOKS: Final = 20
"""A publisher that nobody used when it was looked after so many times in a row is closed."""

CLOSE_S: Final = 5.0
AGAIN_S: Final = 60.0
"""How long none is opened after one could not be."""


class Burst:
    """`send` on any thread."""

    def __init__(self, connection: Connection, thread: LoopThread) -> None:
        self._connection: Final = connection
        self._thread: Final = thread
        self._publisher: Publisher | None = None
        self._life: asyncio.Task[None] | None = None
        self._sends = 0
        self._since_s = 0.0
        self._used = False
        self._asked = not can_be_opened(connection.target)

    def send(self, way: Way, body: bytes, timeout_s: float) -> bool:
        """See Publisher.publish."""
        publisher = self._publisher
        if publisher is None:
            self._consider()
            return False
        self._used = True
        return publisher.publish(way.exchange, way.routing_key, way.properties, body, timeout_s)

    def _consider(self) -> None:
        """Whether so much is sent that it is worth opening one."""
        now_s = monotonic()
        if now_s - self._since_s > WITHIN_S:
            self._since_s, self._sends = now_s, 0
        self._sends += 1
        if self._sends >= SENDS and not self._asked:
            self._asked = True
            self._thread.post(self._begin)

    # ---- on the loop

    async def close(self) -> None:
        """With the connection beside which it is."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.close(CLOSE_S)

    def _begin(self) -> None:
        self._life = asyncio.ensure_future(self._live())

    async def _live(self) -> None:
        connection = self._connection
        name = f"{connection.name} (publisher)" if connection.name else None
        try:
            publisher = await open_publisher(connection.target, name, connection.timeout_s)
        except LeveretError as error:
            log.debug("no connection of its own for sending one by one: %s", error)
            asyncio.get_running_loop().call_later(AGAIN_S, self._forget)
            return
        self._thread.connections.add(publisher)
        self._publisher = publisher
        try:
            await self._look_after(publisher)
        finally:
            self._publisher = None
        while not await publisher.close(CLOSE_S):
            await asyncio.sleep(LOOK_S)
        self._forget()

    async def _look_after(self, publisher: Publisher) -> None:
        """Until it is over, or not worth having any more."""
        idle = 0
        while not publisher.over and idle < IDLE_LOOKS and not self._connection.closed:
            await asyncio.sleep(LOOK_S)
            idle = 0 if self._used else idle + 1
            self._used = False
            if idle:
                publisher.look()

    def _forget(self) -> None:
        self._asked = False
