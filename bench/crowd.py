"""Traffic among many: queues, consumers, connections or bindings by the thousand, driven with Leveret's own client.

Each function sets up a crowd of the size asked for, sends messages through it and takes them all; what it returns is
called `Traffic`. The figures are the broker's, so the client's own speed does not matter. Called by `bench.scale`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from leveret.client import Channel, Connection, Delivery, connect

WINDOW = 1_000
"""Messages without a confirm."""
AT_ONCE = 200
"""Requests under way while a crowd is set up."""
WAIT_S = 120.0

Route = Callable[[int], tuple[str, str]]
"""From a message's number to its exchange and routing key."""


class Traffic:
    """A crowd that is ready: `flow` sends that many messages and returns when all were taken and acknowledged."""

    def __init__(self, connection: Connection, publisher: Channel, route: Route) -> None:
        self.connection = connection
        self._publisher = publisher
        self._route = route
        self._left = 0
        self._taken = asyncio.Event()

    def take(self, delivery: Delivery) -> None:
        """The consumers' callback."""
        delivery.ack()
        self._left -= 1
        if not self._left:
            self._taken.set()

    async def flow(self, count: int) -> None:
        self._left = count
        self._taken.clear()
        for start in range(0, count, WINDOW):
            confirms = []
            for number in range(start, min(start + WINDOW, count)):
                exchange, key = self._route(number)
                confirms.append(self._publisher.publish_nowait(b"x" * 16, exchange=exchange, routing_key=key))
            await asyncio.gather(*(confirm for confirm in confirms if confirm is not None))
        await asyncio.wait_for(self._taken.wait(), WAIT_S)


async def in_groups(calls: Sequence[Callable[[], Awaitable[object]]]) -> None:
    for start in range(0, len(calls), AT_ONCE):
        await asyncio.gather(*(call() for call in calls[start : start + AT_ONCE]))


@asynccontextmanager
async def traffic(url: str, route: Route) -> AsyncIterator[tuple[Traffic, Channel]]:
    """The traffic, and a channel for its consumers. What was declared exclusive ends with the connection."""
    async with await connect(url, timeout_s=WAIT_S) as connection:
        publisher = await connection.channel(confirms=True)
        yield Traffic(connection, publisher, route), await connection.channel()


@asynccontextmanager
async def queues(url: str, size: int) -> AsyncIterator[Traffic]:
    """`size` queues, a consumer on each; messages go to them in turn."""
    async with traffic(url, lambda number: ("", f"scale-{number % size}")) as (found, channel):

        async def add(number: int) -> None:
            await channel.queue_declare(f"scale-{number}", exclusive=True)
            await channel.consume(f"scale-{number}", found.take)

        await in_groups([lambda number=number: add(number) for number in range(size)])  # type: ignore[misc]
        yield found


@asynccontextmanager
async def consumers(url: str, size: int) -> AsyncIterator[Traffic]:
    """One queue with `size` consumers of prefetch 1."""
    async with traffic(url, lambda number: ("", "scale")) as (found, channel):
        await channel.queue_declare("scale", exclusive=True)
        await channel.qos(1)
        await in_groups([lambda: channel.consume("scale", found.take) for _ in range(size)])
        yield found


@asynccontextmanager
async def connections(url: str, size: int) -> AsyncIterator[Traffic]:
    """One queue, its publisher and its consumer on one connection; the others of `size` connections are just open."""
    others: list[Connection] = []

    async def add() -> None:
        others.append(await connect(url, timeout_s=WAIT_S))
        await others[-1].channel()

    async with traffic(url, lambda number: ("", "scale")) as (found, channel):
        await channel.queue_declare("scale", exclusive=True)
        await channel.consume("scale", found.take)
        await in_groups([add for _ in range(size - 1)])
        yield found
        await in_groups([other.close for other in others])


@asynccontextmanager
async def bindings(url: str, size: int) -> AsyncIterator[Traffic]:
    """A topic exchange with `size` patterns, each for its own keys (one: for all); messages are sent with 1,000 keys."""
    async with traffic(url, lambda number: ("scale-topic", f"sensor.{number % 1_000}.temperature")) as (
        found,
        channel,
    ):
        await channel.exchange_declare("scale-topic", "topic", auto_delete=True)
        await channel.queue_declare("scale", exclusive=True)

        async def bind(number: int) -> None:
            await channel.queue_bind("scale", "scale-topic", f"*.{number}.#" if size > 1 else "#")

        await in_groups([lambda number=number: bind(number) for number in range(size)])  # type: ignore[misc]
        await channel.consume("scale", found.take)
        yield found


async def declare_durable(url: str, count: int) -> None:
    """`count` durable queues, one after the other, as a program that waits for each answer declares them."""
    async with await connect(url, timeout_s=WAIT_S) as connection:
        channel = await connection.channel()
        for number in range(count):
            await channel.queue_declare(f"durable-{number}", durable=True)
