"""What the client's tests share: running a coroutine with a bound, and collecting what callbacks are given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from pika.adapters.blocking_connection import BlockingChannel

from leveret.client import Backoff, Delivery, looping

T = TypeVar("T")
WAIT_S = 60.0
"""Only what fails waits so long: on a loaded machine a RabbitMQ that starts again takes its time."""


def run(main: Coroutine[Any, Any, T], wait_s: float = WAIT_S) -> T:
    """Run `main` as a program would, and fail rather than hang."""
    return looping.run(asyncio.wait_for(main, wait_s))


def bodies(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Of all that is in the queue, which is empty then."""
    found = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append(body)


def swift() -> Backoff:
    """Pauses of milliseconds between attempts to reconnect."""
    return Backoff(0.005, 0.05, fraction=lambda: 1.0)


class Collector(Generic[T]):
    """A callback that remembers what it was called with; `take` waits for the next."""

    def __init__(self, then: Callable[[T], object] | None = None) -> None:
        self._arrived: asyncio.Queue[T] = asyncio.Queue()
        self._then = then

    def __call__(self, value: T) -> None:
        if self._then is not None:
            self._then(value)
        self._arrived.put_nowait(value)

    async def take(self) -> T:
        return await asyncio.wait_for(self._arrived.get(), WAIT_S)

    async def take_many(self, count: int) -> list[T]:
        return [await self.take() for _ in range(count)]

    @property
    def empty(self) -> bool:
        return self._arrived.empty()


def acking() -> Collector[Delivery]:
    """A consumer that acknowledges at once."""
    return Collector(lambda delivery: delivery.ack())


class Signal:
    """A callback to wait for; any arguments."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.values: tuple[Any, ...] = ()

    def __call__(self, *values: Any) -> None:
        self.values = values
        self._event.set()

    async def wait(self) -> tuple[Any, ...]:
        await asyncio.wait_for(self._event.wait(), WAIT_S)
        self._event.clear()
        return self.values
