"""How much waits in the queues, asked of the broker by AMQP alone: any broker tells, and no management API is needed.

A question after a queue that is not there costs a channel, and on RabbitMQ a line of its log: it is not repeated at once.
Used by top/run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from leveret.board.board import Board
from leveret.client import Connection, QueueDeclared, StandingChannel
from leveret.errors import ChannelError
from leveret.tasks.topology import dead_queue

MISSING_S: Final = 10.0
NO_DEAD_S: Final = 30.0


class Counts:
    def __init__(self, connection: Connection) -> None:
        self._channel = StandingChannel(connection)
        self._missing: dict[str, float] = {}

    async def look(self, board: Board, queues: Iterable[str], now: float) -> None:
        """Tell `board` of each of `queues`. ConnectionLost or WaitTimeout if the broker is not there."""
        for name in queues:
            found = await self._ask(name, now, MISSING_S)
            dead = await self._ask(dead_queue(name), now, NO_DEAD_S)
            board.count(
                name,
                None if found is None else found.messages,
                None if found is None else found.consumers,
                0 if dead is None else dead.messages,
            )

    async def _ask(self, queue: str, now: float, missing_s: float) -> QueueDeclared | None:
        if now < self._missing.get(queue, 0.0):
            return None
        try:
            channel = await self._channel.get()
            return await channel.queue_declare(queue, passive=True)
        except ChannelError:  # it is not there, or not ours to see
            self._missing[queue] = now + missing_s
            return None
