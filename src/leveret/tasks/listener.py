"""Listens to events: what all workers at a broker say from now on, over lost connections too.

    with work.events("failed", "parked") as events:
        for event in events:
            print(event.task, event.error)

A listener has a queue of its own, which holds so many messages at most and goes with it: who does not keep up misses the oldest.
Workers make events from their next beat on. Made by WorkQueue.events and events_async; used by top/.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import msgspec

from leveret.client import Backoff, Channel, Connection, Delivery, connect
from leveret.client.threads import LoopThread, loop_thread
from leveret.errors import LeveretError
from leveret.tasks.events import EXCHANGE, AnyEvent, Kind, address, kind_of, read

log = logging.getLogger("leveret.tasks")

KEPT: Final = 10_000
"""Messages that its queue holds, and events that wait here to be taken."""

ARGUMENTS: Final[dict[str, Any]] = {"x-queue-type": "classic", "x-max-length": KEPT, "x-overflow": "drop-head"}
CONNECT_S: Final = 10.0
LOOK_S: Final = 1.0


def bindings(kinds: Sequence[Kind], queues: Sequence[str]) -> list[str]:
    """What it asks the exchange for. Workers learn by their beats whether anybody listens, so those are always asked for."""
    asked = [address(kind, queue) for kind in kinds or ("*",) for queue in queues]
    return list(dict.fromkeys([*(asked or [f"{kind}.*" for kind in kinds or ("*",)]), "worker.*"]))


class Listener:
    """For coroutines: `async with` it, `async for event in` it. Of `kinds` and of `queues`; empty: of all."""

    def __init__(
        self, url: str, kinds: Sequence[Kind] = (), queues: Sequence[str] = (), name: str = "listener"
    ) -> None:
        self._url = url
        self._kinds = frozenset(kinds)
        self._bindings = bindings(kinds, queues)
        self._name = name
        self._backoff = Backoff()
        self._arrived: deque[AnyEvent] = deque(maxlen=KEPT)
        self._some = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None
        self.connection: Connection
        self.queue = ""
        """Its own, at the broker."""

    async def open(self) -> Self:
        """Raises what client.connect does, and ChannelError if it is not allowed to listen."""
        self.connection = await connect(self._url, name=self._name, timeout_s=CONNECT_S)
        try:
            await self._listen()
        except BaseException:
            await self.connection.close()
            raise
        self._tending = asyncio.create_task(self._tend())
        return self

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
        await self.connection.close()

    @property
    def connected(self) -> bool:
        """Whether anything can arrive just now. A lost connection is made anew."""
        return self.connection.connected and not self._interrupted.is_set()

    async def wait(self, timeout_s: float | None = None) -> list[AnyEvent]:
        """What has arrived and was not taken, one event at least; none if nothing came for so long."""
        if not self._arrived:
            self._some.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._some.wait()
            except TimeoutError:
                return []
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        while not self._arrived:
            self._some.clear()
            await self._some.wait()
        return self._arrived.popleft()

    # ---- the broker's side

    async def _listen(self) -> None:
        channel: Channel = await self.connection.channel()
        queue = self.queue = f"leveret.listener.{uuid.uuid4()}"
        await channel.exchange_declare(EXCHANGE, "topic", durable=True)
        await channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=ARGUMENTS)
        for key in self._bindings:
            await channel.queue_bind(queue, EXCHANGE, key)
        interrupted = self._interrupted
        interrupted.clear()
        await channel.consume(
            queue, self._take, no_ack=True, on_cancel=interrupted.set, on_close=lambda _: interrupted.set()
        )

    async def _tend(self) -> None:
        """Lost connections are the client's affair. What ends the channel alone (somebody deleted the queue) is ours."""
        attempt = 0
        while True:
            await self._interrupted.wait()
            await self._backoff.wait(attempt)
            attempt += 1
            try:
                await self._listen()
                attempt = 0
            except LeveretError as error:
                log.warning("events are not heard just now: %s", error)
                self._interrupted.set()

    def _take(self, delivery: Delivery) -> None:
        try:
            some = read(delivery.body)
        except msgspec.DecodeError as error:  # of a later version, or of somebody else
            log.debug("an event cannot be read: %s", error)
            return
        self._arrived.extend(event for event in some if not self._kinds or kind_of(event) in self._kinds)
        if self._arrived:
            self._some.set()


class BlockingListener:
    """The same for plain functions. It ends if nothing came for `timeout_s`, or when it is closed."""

    def __init__(
        self,
        url: str,
        kinds: Sequence[Kind] = (),
        queues: Sequence[str] = (),
        name: str = "listener",
        timeout_s: float | None = None,
    ) -> None:
        self._thread: LoopThread = loop_thread()
        self._timeout_s = timeout_s
        self._closed = False

        async def opening() -> Listener:
            core = await Listener(url, kinds, queues, name).open()
            self._thread.connections.add(core.connection)
            return core

        self._core = self._thread.run(opening(), 3 * CONNECT_S, "a listener")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._thread.run(self._core.close(), CONNECT_S, "the end of a listener")

    def __iter__(self) -> Iterator[AnyEvent]:
        silent_since = time.monotonic()
        while not self._closed:
            left_s = None if self._timeout_s is None else silent_since + self._timeout_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            wait_s = LOOK_S if left_s is None else min(LOOK_S, left_s)
            some = self._thread.run(self._core.wait(wait_s), wait_s, "an event")
            yield from some
            if some:
                silent_since = time.monotonic()
