"""One queue that a worker reads, on a channel of its own: what happens to one queue harms no other.

It consumes until it is told to be quiet, and starts again whenever something ended it: the queue was deleted, the broker
closed the channel, or its deliveries waited too long for a slot. Connections are the client's affair. Used by worker.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from leveret.client import Backoff, Channel, Connection, Consumer, Delivery
from leveret.errors import LeveretError
from leveret.tasks.topology import consumer_arguments, declare
from leveret.worker.settle import give_back
from leveret.worker.slots import Slots

log = logging.getLogger("leveret.worker")

PATIENCE_S: Final = 1.0
"""How long a delivery may wait for a slot while no task ends here; then other workers are to have it."""


class Source:
    def __init__(
        self,
        connection: Connection,
        queue: str,
        slots: Slots,
        *,
        patience_s: float = PATIENCE_S,
        backoff: Backoff | None = None,
    ) -> None:
        self.queue = queue
        self._connection = connection
        self._slots = slots
        self._patience_s = patience_s
        self._backoff = backoff or Backoff()
        self._channel: Channel | None = None
        self._consumer: Consumer | None = None
        self._interrupted = asyncio.Event()
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def tend(self) -> None:
        """Consume, be interrupted, pause, wait for room, and again; until cancelled."""
        attempt = 0
        while True:
            try:
                await self._consume()
                attempt = 0
                await self._interrupted.wait()
                if self._error is not None:
                    raise self._error
                await self._pause()
                await self._slots.room.wait()
            except LeveretError as error:
                log.error("queue=%s is not read just now: %s", self.queue, error)
                await self._backoff.wait(attempt)
                attempt += 1

    async def _consume(self) -> None:
        self._interrupted.clear()
        self._error = None
        if self._channel is None or self._channel.closed:
            self._channel = await self._connection.channel(prefetch=self._slots.number)
        await declare(self._channel, self.queue)
        self._consumer = await self._channel.consume(
            self.queue,
            self._take,
            arguments=consumer_arguments(),
            on_cancel=self._interrupted.set,
            on_close=self._closed,
        )

    def _closed(self, error: Exception) -> None:
        self._error = error
        self._interrupted.set()

    def _take(self, delivery: Delivery) -> None:
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
            self._interrupted.set()
        else:
            self._be_patient()

    async def _pause(self) -> None:
        """No more deliveries; those that wait go back. What runs stays ours."""
        try:
            if self._consumer is not None:
                await self._consumer.cancel()
        finally:  # also if the broker does not answer
            for delivery in self._slots.withdraw(self.queue):
                give_back(delivery)

    async def quiet(self) -> None:
        """No more deliveries, for good. Called when `tend` has been cancelled and the slots are closed."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._pause()
        except LeveretError as error:
            log.debug("queue=%s was not left in good order: %s", self.queue, error)
