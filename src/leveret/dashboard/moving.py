"""Messages from one queue to another, none lost: acknowledged in the old one once the broker has confirmed them in the new one.

If it is cut short in between, a message may be in both. Used by pages/queue.
"""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from leveret.client import BasicProperties, Channel, Connection, Delivery, connect
from leveret.tasks.peek import Peek

MOST: Final = 1_000_000
TOGETHER: Final = 100
"""So many go before their confirms are waited for."""
CONFIRM_S: Final = 30.0
CONNECT_S: Final = 10.0


async def connected(url: str) -> Connection:
    return await connect(url, name="leveret dashboard", reconnect=False, timeout_s=CONNECT_S)


async def move(url: str, queue: str, to: str, most: int) -> int:
    """How many were moved: those that were ready, `most` at most. Raises what the client does; the rest stays where it was."""
    async with await connected(url) as connection, Peek(connection) as taking:
        sending = await connection.channel(confirms=True)
        moved = 0
        batch: list[Delivery] = []
        async for delivery in taking.read(queue, most):
            batch.append(delivery)
            if len(batch) == TOGETHER:
                moved += await pass_on(sending, batch, to)
        return moved + await pass_on(sending, batch, to)


async def pass_on(sending: Channel, batch: list[Delivery], to: str) -> int:
    """All of the batch, which is empty then."""
    confirms = [
        sending.publish(one.body, routing_key=to, properties=anew(one), mandatory=True, timeout_s=CONFIRM_S)
        for one in batch
    ]
    for delivery, outcome in zip(batch, await asyncio.gather(*confirms, return_exceptions=True), strict=True):
        if isinstance(outcome, BaseException):
            raise outcome
        delivery.ack()
    moved = len(batch)
    batch.clear()
    return moved


def anew(delivery: Delivery) -> BasicProperties:
    """As it came; but brokers let nobody send in another user's name."""
    return replace(delivery.properties, user_id=None)
