"""Puts messages into queues for certain: the queue declared, the message mandatory, the broker's confirm awaited.

What is to arrive later goes by the ladder (tasks/ladder), as certainly. Lives on the event loop of its connection. Used by
sender, for programs, and by the worker, for messages that failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from leveret.client import Backoff, BasicProperties, Channel, Connection, StandingChannel
from leveret.client.waiting import bounded
from leveret.errors import ChannelError, LeveretError, Nacked, TaskError, Unroutable
from leveret.tasks.ladder import WAIT, bind_queue, declare_ladder, descent, rung
from leveret.tasks.lane import DECLARED_S, Lane
from leveret.tasks.limits import Lock
from leveret.tasks.recent import Recent
from leveret.tasks.topology import Queue, declare, is_rabbitmq

REFUSED_MAX: Final = 5
TOGETHER: Final = 500
"""Of many messages so many are written before it is asked whether the broker takes more."""


class Parcel(msgspec.Struct, frozen=True, gc=False):
    """A message and its queue, where it is to be `delay_ms` from now; or, without a delay, beside it in a `lane` (tasks/lanes).

    `lock`: it is sent only if it can have that (tasks/locks).
    """

    queue: str
    body: bytes
    properties: BasicProperties
    delay_ms: int = 0
    lane: Lane | None = None
    lock: Lock | None = None


class Way(msgspec.Struct, frozen=True, gc=False):
    """How a parcel is published."""

    exchange: str
    routing_key: str
    properties: BasicProperties


class Outbox:
    """One confirming channel of `connection`, opened when first needed and again after an error closed it.

    `queue` tells how a queue is to be declared.
    """

    def __init__(self, connection: Connection, queue: Callable[[str], Queue] = Queue) -> None:
        self.connection = connection
        self._queue = queue
        self._channel = StandingChannel(connection, confirms=True, opened=self._forget_all)
        self._declared: set[str] = set()
        self._lanes = Recent(DECLARED_S)
        self._delayed: set[str] = set()
        self._height = -1
        self._backoff = Backoff(0.05, 1.0)

    def post(self, parcel: Parcel) -> asyncio.Future[None] | None:
        """Its confirm, if it can go out at once: nothing has to be declared or waited for. None: use `put`.

        The future may raise Nacked or Unroutable, which `put` would have seen to.
        """
        way, channel = self.known_way(parcel), self._channel.ready
        if way is None or channel is None or not channel.writable:
            return None
        return self._publish_on(channel, way, parcel.body)

    async def put(self, parcel: Parcel, timeout_s: float) -> None:
        """Return when the broker has taken the message over, within `timeout_s`.

        Raises WaitTimeout, ConnectionLost (it may or may not have arrived), Nacked, ChannelError (the queue cannot
        be declared), or TaskError (nothing can be delayed for a queue of such a name).
        """
        what = f"a message's way to queue {parcel.queue!r}"
        await bounded(self._put(parcel, timeout_s), timeout_s, what)

    async def put_many(self, parcels: Sequence[Parcel], timeout_s: float) -> list[Exception | None]:
        """All of them, with one wait for all confirms, `timeout_s` at most: what went wrong with each, as `put` raises it."""
        until_s = asyncio.get_running_loop().time() + timeout_s
        confirms: list[asyncio.Future[None] | LeveretError] = []
        outcomes: list[Exception | None] = []
        try:
            await bounded(
                self._post_all(parcels, confirms, timeout_s), timeout_s, f"the sending of {len(parcels)} messages"
            )
        except LeveretError as error:
            confirms += [error] * (len(parcels) - len(confirms))
        for parcel, confirm in zip(parcels, confirms, strict=True):
            if _confirmed(confirm):
                outcomes.append(None)
                continue
            left_s = max(0.0, until_s - asyncio.get_running_loop().time())
            outcomes.append(await self._outcome(parcel, confirm, left_s))
        return outcomes

    async def _outcome(
        self, parcel: Parcel, confirm: asyncio.Future[None] | LeveretError, timeout_s: float
    ) -> Exception | None:
        if isinstance(confirm, LeveretError):
            return confirm
        try:
            if not confirm.done():
                await bounded(asyncio.shield(confirm), timeout_s, "the broker's confirm")
            confirm.result()
        except (Unroutable, Nacked) as error:  # its queue was deleted since it was declared, say: once more, by itself
            if isinstance(error, Unroutable):
                self._forget(parcel)
            try:
                await self.put(parcel, timeout_s)
            except LeveretError as error:
                return error
        except LeveretError as error:
            return error
        return None

    async def _post_all(
        self, parcels: Sequence[Parcel], confirms: list[asyncio.Future[None] | LeveretError], timeout_s: float
    ) -> None:
        for number, parcel in enumerate(parcels):
            try:
                way = self.known_way(parcel) or await self._way(parcel)
            except (
                ChannelError,
                TaskError,
            ) as error:  # its queue is somebody's with other arguments, say: the others go on
                confirms.append(error)
                continue
            channel = self._channel.ready or await self._channel.get()
            if number % TOGETHER == 0:
                await channel.drain(timeout_s)
            confirms.append(self._publish_on(channel, way, parcel.body))

    def _publish_on(self, channel: Channel, way: Way, body: bytes) -> asyncio.Future[None]:
        confirm = channel.publish_nowait(
            body, exchange=way.exchange, routing_key=way.routing_key, properties=way.properties, mandatory=True
        )
        assert confirm is not None
        return confirm

    async def _put(self, parcel: Parcel, timeout_s: float) -> None:
        for last in (False, True):
            try:
                await self._publish(await self._way(parcel), parcel.body, timeout_s)
                return
            except (Unroutable, ChannelError):  # somebody deleted the queue, or a rung, since it was declared
                if last:
                    raise
                self._forget(parcel)

    async def _publish(self, way: Way, body: bytes, timeout_s: float) -> None:
        for refused in range(REFUSED_MAX + 1):
            channel = await self._channel.get()
            try:
                await channel.publish(
                    body,
                    exchange=way.exchange,
                    routing_key=way.routing_key,
                    properties=way.properties,
                    mandatory=True,
                    timeout_s=timeout_s,
                )
                return
            except Nacked:  # by a quorum queue that is choosing its leader, say
                if refused == REFUSED_MAX:
                    raise
            # A channel of RabbitMQ 3.10 may go on asking a leader that is dead, and refuse everything.
            await self._channel.leave(channel)
            await self._backoff.wait(refused)

    # ---- what has to be there first

    def known_way(self, parcel: Parcel) -> Way | None:
        """If nothing has to be declared for it. On any thread."""
        if parcel.delay_ms > 0 or parcel.lane is not None or parcel.queue not in self._declared:
            return None
        return Way("", parcel.queue, parcel.properties)

    async def _way(self, parcel: Parcel) -> Way:
        """Declared, as far as it is not known to be."""
        queue = parcel.queue
        if parcel.delay_ms <= 0 and parcel.lane is not None:
            await self.expect(parcel.lane)
            return Way("", parcel.lane.name, parcel.properties)
        if parcel.delay_ms <= 0:
            if queue not in self._declared:
                await self._declare(queue)
            return Way("", queue, parcel.properties)
        down = descent(queue, parcel.delay_ms)
        if self._height < down.rung or queue not in self._delayed:
            await self._raise_ladder(queue, down.rung)
        # An expiration of its own would bring it down too early.
        properties = replace(parcel.properties, expiration=None)
        if down.left_ms:
            properties = replace(properties, headers={**(properties.headers or {}), WAIT: down.left_ms})
        return Way(rung(down.rung), down.routing_key, properties)

    def _forget(self, parcel: Parcel) -> None:
        self._declared.discard(parcel.queue)
        self._delayed.discard(parcel.queue)
        self._height = -1
        if parcel.lane is not None:
            self._lanes.discard(parcel.lane.name)

    def _forget_all(self, _: Channel) -> None:
        self._declared.clear()
        self._delayed.clear()
        self._lanes.clear()
        self._height = -1

    async def expect(self, lane: Lane) -> None:
        """It is there, and does not expire soon, and so is the queue into which it falls. Raises what the declaration does."""
        if lane.name not in self._lanes:
            if lane.home not in self._declared:
                await self._declare(lane.home)
            await declare(self.connection, lane)
            self._lanes.add(lane.name)

    async def _declare(self, queue: str) -> None:
        described = self._queue(queue)
        await declare(self.connection, described)
        if not described.group:  # which is sent to only once
            self._declared.add(queue)

    async def _raise_ladder(self, queue: str, height: int) -> None:
        if queue not in self._declared:
            await self._declare(queue)
        async with await self.connection.channel() as channel:
            if self._height < height:
                await declare_ladder(channel, height, is_rabbitmq(self.connection))
                self._height = max(self._height, height)
            await bind_queue(channel, queue)
        self._delayed.add(queue)


def _confirmed(confirm: asyncio.Future[None] | LeveretError) -> bool:
    return isinstance(confirm, asyncio.Future) and confirm.done() and confirm.exception() is None
