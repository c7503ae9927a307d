"""What a worker asks and hears of cancelled tasks: the worker's half of tasks/cancelling. Used by worker and runner."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import msgspec

from leveret.client import Backoff, Connection, Delivery, StandingChannel
from leveret.errors import ChannelError, LeveretError
from leveret.tasks.cancelling import CONTROL, MARK, forget, is_cancelled, read_order

log = logging.getLogger("leveret.worker")


class Control:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._asking = StandingChannel(connection)

    async def listen(self, cancel: Callable[[str], None]) -> None:
        """From now on, over reconnections too, `cancel` is called with the id of a task that was cancelled, which may be
        another worker's. Raises what the client raises.
        """
        self._cancel = cancel
        channel = await self._connection.channel()
        queue = f"leveret.worker.{uuid.uuid4()}"
        await channel.exchange_declare(CONTROL, "fanout", durable=True)
        await channel.queue_declare(queue, exclusive=True, auto_delete=True)
        await channel.queue_bind(queue, CONTROL)
        await channel.consume(queue, self._take, no_ack=True)

    def _take(self, delivery: Delivery) -> None:
        try:
            self._cancel(read_order(delivery.body).cancel)
        except msgspec.DecodeError as error:
            log.warning("an order cannot be read: %s", error)

    async def is_cancelled(self, id: str) -> bool:
        """Asks until there is an answer; a task whose connection is lost meanwhile has to be thrown away by the caller."""
        backoff, attempt = Backoff(), 0
        while True:
            try:
                return await is_cancelled(await self._asking.get(), id)
            except ChannelError as error:
                if MARK in error.text:  # another one that was asked about on the same channel is cancelled
                    continue
                log.error("whether task id=%s is cancelled cannot be told: %s", id, error)
            except LeveretError as error:
                log.warning("whether task id=%s is cancelled cannot be told yet: %s", id, error)
            await backoff.wait(attempt)
            attempt += 1

    async def forget(self, id: str) -> None:
        """The cancelled task is acknowledged. Never raises but when cancelled."""
        try:
            await forget(await self._asking.get(), id)
        except LeveretError as error:
            log.debug("the mark of cancelled task id=%s stays until it expires: %s", id, error)
