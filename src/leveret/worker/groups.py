"""When the last member of a group is done: the results of a group, from the queue where they wait to the one who gathers them.

    leveret.group.ID    declared by whoever began the group: first the plan (how many, and what comes then), then what each
                        member returned, by index. A consumer at a time gets any of it. Deleted when what comes then was sent.

What a member's worker does, each step after the one before is confirmed:
  1. put       its result into the queue; if there is no such queue, the group is complete, or was given up
  2. look      how many are ready; fewer than plan and results together: leave
  3. gather    take all that is ready, and hold it. All are there: go on with the workflow, delete the queue. Else
  4. give back what was held but for duplicates, wait until it can be seen, and look again
  5. then only the member's own message is acknowledged

Why one of them finds all: results never become fewer, only duplicates are taken out. Take the last look at a group that has
all its results and is not complete. It did not see them, so some were held, or just on their way back, for another worker.
That one looks again when it sees what it gave back; if it died, the task that it had runs again, and it looks again. Both
contradict that this look was the last. Brokers answer a look from the queue's own state, which has what was confirmed; what is
given back appears there a moment later (measured on RabbitMQ: 2 ms), whence the waiting, and the further looks of a task that is
repeated.

RabbitMQ ends the connection of who consumes from a quorum queue that is just being deleted, or declared (541, seen on 3.10). So
none of this happens on the connection of the tasks, which would all run again, and of a worker's members one gathers at a time,
while the others do not look. Used by following.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic as _now_s
from typing import Final

import msgspec

from leveret.client import Backoff, Channel, Connection, Delivery, StandingChannel
from leveret.errors import ChannelError, LeveretError, Nacked, TaskError, Unroutable
from leveret.tasks.continuation import Collected, Join, group_queue, read_in_group
from leveret.tasks.departure import BODY_BYTES_MAX, result
from leveret.tasks.topology import consumer_arguments

log = logging.getLogger("leveret.worker")

NOT_FOUND: Final = 404
PUBLISH_S: Final = 30.0
SILENT_S: Final = 5.0
"""What was seen does not come for so long: somebody else has it."""

HELD_MAX: Final = 65_535
"""A quorum queue gives a consumer without a limit 2,000 messages, and no more."""

SEEN_S: Final = 60.0
"""What was given back and is not seen within so long, the queue has lost: somebody purged it, say."""

LOOKS_REPEATED: Final = 6
"""So often a member looks that is put again: what was held before, by itself or by a worker that died, may be on its way back."""


class Held:
    """What stands in a group's queue, held on a channel of its own until it is closed."""

    def __init__(self, channel: Channel, of: int, on_closed: Callable[[], object] = lambda: None) -> None:
        self.collected = Collected(of)
        self._channel = channel
        self._on_closed = on_closed
        self._taken = 0
        self._ended = False
        self._first: Delivery | None = None
        self._spare: list[Delivery] = []
        self._news = asyncio.Event()

    async def come(self, queue: str, number: int) -> None:
        """Take what is ready, until all is there, or as many as were seen, or nothing comes any more."""
        await self._channel.consume(
            queue, self._take, arguments=consumer_arguments(), on_cancel=self._end, on_close=self._end
        )
        while not (self.complete or self.too_large or self._ended) and self._taken < number:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), SILENT_S)
            except TimeoutError:
                return

    @property
    def complete(self) -> bool:
        return self.collected.complete and not self.too_large

    @property
    def too_large(self) -> bool:
        return self.collected.size_bytes > BODY_BYTES_MAX

    def drop_spare(self) -> int:
        """What came twice is acknowledged. How many are left, which go back when this is closed."""
        if not self._lost:
            for delivery in self._spare:
                delivery.ack()
        return self._taken - len(self._spare)

    async def close(self) -> None:
        try:
            await _in_peace(self._channel.close, "a channel was not closed in good order")
        finally:
            self._on_closed()

    @property
    def _lost(self) -> bool:
        """The connection was lost, and all is back in the queue. What comes over the next one are no duplicates."""
        return self._first is not None and self._first.lost

    def _take(self, delivery: Delivery) -> None:
        self._first = self._first or delivery
        if self._lost:
            self._end()
        if self._ended or self.too_large:
            return
        self._taken += 1
        self._news.set()
        try:
            counts = self.collected.add(read_in_group(delivery.body))
        except (msgspec.MsgspecError, RecursionError) as error:
            log.error("something in a group's queue is neither plan nor result, and is dropped: %s", error)
            counts = False
        if not counts:
            self._spare.append(delivery)

    def _end(self, *_: object) -> None:
        """The queue is gone, or the channel."""
        self._ended = True
        self._news.set()


class Groups:
    def __init__(self, connection: Connection, backoff: Callable[[], Backoff] | None = None) -> None:
        self._connection = connection
        self._looking = StandingChannel(connection)
        self._putting = StandingChannel(connection, confirms=True)
        self._backoff = backoff or (lambda: Backoff(0.05, 2.0))
        self._gathering: dict[str, asyncio.Event] = {}
        """Groups whose results somebody here takes or has, and when that is over."""

    async def join(self, join: Join, value: msgspec.Raw, repeated: bool) -> Held | None:
        """Put the member's result to the others; all of them if that was the last one. Raises what the client raises, and
        TaskError if they are too large together.
        """
        if not await self._put(join, value):
            log.info("group=%s has no use for the result of member %d any more", join.group, join.index)
            return None
        return await self._gather_if_all(join, LOOKS_REPEATED if repeated else 1)

    async def _put(self, join: Join, value: msgspec.Raw) -> bool:
        parcel = result(join, value)
        channel = await self._putting.get()
        try:
            await channel.publish(
                parcel.body,
                routing_key=parcel.queue,
                properties=parcel.properties,
                mandatory=True,
                timeout_s=PUBLISH_S,
            )
        except Unroutable:
            return False
        except Nacked:
            await self._putting.leave(channel)
            raise
        return True

    async def _gather_if_all(self, join: Join, looks: int) -> Held | None:
        backoff, given_back, attempt, seen_by_s = self._backoff(), 0, 0, 0.0
        while True:
            while (over := self._gathering.get(join.group)) is not None:
                await over.wait()
            ready = await self._ready(join.group)
            if ready is None:
                return None
            if join.group in self._gathering:
                continue
            attempt += 1
            if ready > join.of:
                held, given_back = await self._gather(join, ready)
                if held is not None:
                    return held
                seen_by_s = _now_s() + SEEN_S
            elif attempt >= looks and (ready >= given_back or _now_s() > seen_by_s):
                return None
            await backoff.wait(attempt - 1)

    async def _ready(self, group: str) -> int | None:
        """None if there is no such queue."""
        queue = group_queue(group)
        while True:
            channel = await self._looking.get()
            try:
                return (await channel.queue_declare(queue, passive=True)).messages
            except ChannelError as error:
                if error.code != NOT_FOUND:
                    raise
                if queue in error.text:
                    return None
                # another one that was asked for on the same channel is gone

    async def _gather(self, join: Join, ready: int) -> tuple[Held | None, int]:
        """All of it if it is there, else how much was given back. TaskError if it is too large."""
        held = await self._hold(join)
        all_there = False
        try:
            await held.come(group_queue(join.group), ready)
            all_there = held.complete
            if all_there:
                return held, 0
            if held.too_large:
                raise TaskError(
                    f"the results of group {join.group} take more than {BODY_BYTES_MAX} octets together: have its tasks "
                    "return where they put their results, rather than the results"
                )
            return None, held.drop_spare()
        except ChannelError as error:
            if error.code != NOT_FOUND:
                raise
            return None, 0
        finally:
            if not all_there:
                await held.close()

    async def _hold(self, join: Join) -> Held:
        over = self._gathering[join.group] = asyncio.Event()

        def end() -> None:
            del self._gathering[join.group]
            over.set()

        try:
            return Held(await self._connection.channel(prefetch=HELD_MAX), join.of, end)
        except BaseException:
            end()
            raise

    async def delete(self, group: str) -> None:
        """It has been gone on with, or is given up. Never raises but when cancelled."""
        await _in_peace(lambda: self._delete(group), f"group={group} stays until it expires")

    async def _delete(self, group: str) -> None:
        async with await self._connection.channel() as channel:
            await channel.queue_delete(group_queue(group))


async def _in_peace(work: Callable[[], Awaitable[object]], otherwise: str) -> None:
    try:
        await work()
    except LeveretError as error:
        log.debug("%s: %s", otherwise, error)
