"""What a worker asks and hears of orders: the worker's half of tasks/orders and tasks/cancelling. Used by worker and runner."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from leveret.client import Backoff, Connection, Delivery, StandingChannel
from leveret.errors import ChannelError, LeveretError
from leveret.tasks.cancelling import MARK, forget, is_cancelled
from leveret.tasks.orders import CONTROL, Order, read_order

log = logging.getLogger("leveret.worker")

BIND_S: Final = 60.0


class Control:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._asking = StandingChannel(connection)
        self._deaf = asyncio.Event()

    async def listen(self, obey: Callable[[Order], None]) -> None:
        """From now on, over reconnections too, `obey` is called with each order, whomever it concerns. Raises what the
        client raises.
        """
        self._obey = obey
        self._deaf.clear()
        self._listening = await self._connection.channel()
        self._queue = f"leveret.worker.{uuid.uuid4()}"
        await self._listening.queue_declare(self._queue, exclusive=True, auto_delete=True)
        await self._bind()
        await self._listening.consume(
            self._queue, self._take, no_ack=True, on_cancel=self._deaf.set, on_close=lambda _: self._deaf.set()
        )

    async def _bind(self) -> None:
        await self._listening.exchange_declare(CONTROL, "fanout", durable=True)
        await self._listening.queue_bind(self._queue, CONTROL)

    async def tend(self, missed: Callable[[], None]) -> None:
        """Until cancelled: listens again when its queue was deleted, or not given back after a reconnection, and calls `missed`
        then, for there may have been orders meanwhile. Of an exchange that is deleted nobody is told: it is bound every BIND_S.
        """
        backoff, attempt = Backoff(), 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BIND_S):
                    await self._deaf.wait()
            try:
                if self._deaf.is_set():
                    await self.listen(self._obey)
                    missed()
                else:
                    await self._bind()
                attempt = 0
            except LeveretError as error:
                self._deaf.set()
                log.warning("orders are not heard just now: %s", error)
                await backoff.wait(attempt)
                attempt += 1

    def _take(self, delivery: Delivery) -> None:
        try:
            self._obey(read_order(delivery.body))
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
