"""One queue that a worker reads, on a channel of its own: what happens to one queue harms no other.

It consumes until it is told to be quiet, and starts again whenever something ended it: the queue was deleted, the broker
closed the channel, or its deliveries waited too long for a slot. Connections are the client's affair. Used by worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from leveret.client import Backoff, Channel, Connection, Consumer, Delivery
from leveret.errors import LeveretError
from leveret.tasks.topology import Queue, consumer_arguments, declare
from leveret.worker.options import SLOTS_MAX
from leveret.worker.pace import Pace
from leveret.worker.settle import give_back
from leveret.worker.slots import Slots

log = logging.getLogger("leveret.worker")

WATCH_S: Final = 10.0
"""How long a queue may be silent before its broker is asked whether there was anything to deliver. Twice in a row yes: it does
not know of its consumer any more (a quorum queue that was deleted and declared again on RabbitMQ 3.10, for one)."""

AHEAD_S: Final = 0.1
AHEAD_MAX: Final = 500
"""Of tasks that are soon over so many are fetched ahead as begin within this time: no slot waits for the network, and no other
worker long for them."""

PATIENCE_S: Final = 1.0
"""How long a delivery may wait for a slot while no task ends here; then other workers are to have it."""


GiveBack = Callable[[str, Delivery], None]
"""Takes a queue's name and what waited for a slot in vain."""


def _give_back(_: str, delivery: Delivery) -> None:
    give_back(delivery)


class Source:
    def __init__(
        self,
        connection: Connection,
        queue: Queue,
        slots: Slots,
        pace: Pace,
        give_back: GiveBack = _give_back,
        *,
        patience_s: float = PATIENCE_S,
        backoff: Backoff | None = None,
    ) -> None:
        self.queue = queue.name
        self._declared = queue
        self._connection = connection
        self._slots = slots
        self._pace = pace
        self._ahead = False
        self._give_back = give_back
        self._patience_s = patience_s
        self._backoff = backoff or Backoff()
        self._channel: Channel | None = None
        self._consumer: Consumer | None = None
        self._interrupted = asyncio.Event()
        self._error: Exception | None = None
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None
        self._open = asyncio.Event()
        self._open.set()

    def pause(self) -> None:
        """No more deliveries until it is resumed; those that wait go back."""
        self._open.clear()
        self._interrupted.set()

    def resume(self) -> None:
        self._open.set()

    async def tend(self) -> None:
        """Consume, be interrupted, give back, wait for room, and again; until cancelled."""
        attempt = 0
        while True:
            try:
                if not self._open.is_set():
                    await self._return()
                    await self._open.wait()
                await self._consume()
                attempt = 0
                await self._watch()
                if self._error is not None:
                    raise self._error
                if not self._ahead and self._pace.quick:
                    await self._stop()
                    self._ahead = True
                    continue
                self._ahead = False
                await self._return()
                await self._slots.room.wait()
            except LeveretError as error:
                log.error("queue=%s is not read just now: %s", self.queue, error)
                await self._backoff.wait(attempt)
                attempt += 1

    async def _consume(self) -> None:
        self._interrupted.clear()
        self._error = None
        if self._channel is None or self._channel.closed:
            self._channel = await self._connection.channel()
        await self._channel.qos(self._prefetch())
        await declare(self._connection, self._declared)
        self._consumer = await self._channel.consume(
            self.queue,
            self._take,
            arguments=consumer_arguments(),
            on_cancel=self._cancelled,
            on_close=self._closed,
        )

    async def _watch(self) -> None:
        """Until something interrupts it, or nothing comes that should."""
        silent = 0
        while silent < 2:
            taken = self._taken
            with suppress(TimeoutError):  # wait_for would, in Python 3.11, swallow being cancelled when this is set
                async with asyncio.timeout(WATCH_S):
                    await self._interrupted.wait()
                return
            waiting = taken == self._taken and self._slots.free and await self._waiting()
            silent = silent + 1 if waiting else 0
        log.error("queue=%s has messages that are not delivered: it is read anew", self.queue)
        self._channel = None

    async def _waiting(self) -> bool:
        """Whether messages are ready in the queue. ChannelError 404 if it is gone."""
        async with await self._connection.channel() as channel:
            return (await channel.queue_declare(self.queue, passive=True)).messages > 0

    def _prefetch(self) -> int:
        """As many as can run; of tasks that are over at once, as many as can run soon."""
        slots = self._slots.number
        if not self._ahead:
            return slots
        return min(slots + min(int(slots * AHEAD_S / max(self._pace.mean_s, 1e-6)), AHEAD_MAX), SLOTS_MAX)

    def _cancelled(self) -> None:
        """The queue was deleted. Its channel, which may still have acknowledgements to carry, is used no more: on one that
        knew a quorum queue RabbitMQ delivers nothing of a new queue of that name.
        """
        self._channel = None
        self._interrupted.set()

    def _closed(self, error: Exception) -> None:
        self._error = error
        self._interrupted.set()

    def _take(self, delivery: Delivery) -> None:
        self._taken += 1
        if self._ahead is not self._pace.quick:
            self._interrupted.set()
        waits = not self._slots.offer(self.queue, delivery)
        if waits and self._timer is None and not self._slots.closed:
            self._be_patient()

    def _be_patient(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._patience_s, self._look, self._slots.ended)

    def _look(self, ended_before: int) -> None:
        """Patience is over. While tasks end, those that wait have their turn; else they are to go back."""
        self._timer = None
        if not self._slots.crowded(self.queue):
            return
        if self._slots.ended == ended_before:
            self._pace.took(self._patience_s)
            self._interrupted.set()
        else:
            self._be_patient()

    async def _return(self) -> None:
        """No more deliveries; those that wait go back. What runs stays ours."""
        try:
            await self._stop()
        finally:  # also if the broker does not answer
            for delivery in self._slots.withdraw(self.queue):
                self._give_back(self.queue, delivery)

    async def _stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.cancel()

    async def quiet(self) -> None:
        """No more deliveries, until it is tended again. Called when `tend` has been cancelled and the slots are closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await self._return()
        except LeveretError as error:
            log.debug("queue=%s was not left in good order: %s", self.queue, error)
