"""Deliveries for a blocking program: an iterator fed by the loop's thread, and deliveries settled from any thread.

Used by client/blocking.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import Final, Self

from leveret.client.channel import Channel
from leveret.client.consumer import Consumer
from leveret.client.declaring import Arguments
from leveret.client.delivery import Delivery
from leveret.client.threads import LoopThread
from leveret.client.waiting import again
from leveret.errors import ConnectionLost

LOOK_S: Final = 1.0
"""How often a waiting iterator looks whether the loop's thread still lives."""

_claims: Final = Lock()


class BlockingDelivery(Delivery):
    """A delivery that may be settled from any thread; its errors are raised there."""

    __slots__ = ("_thread",)

    def __init__(self, delivery: Delivery, thread: LoopThread) -> None:
        super().__init__(delivery._session, delivery._event, delivery._settled)
        self._thread = thread

    def ack(self, multiple: bool = False) -> None:
        self._claim()
        self._thread.post(self._session.ack, self._event.delivery_tag, multiple)

    def nack(self, requeue: bool = True, multiple: bool = False) -> None:
        self._claim()
        self._thread.post(self._session.nack, self._event.delivery_tag, requeue, multiple)

    def reject(self, requeue: bool = True) -> None:
        self._claim()
        self._thread.post(self._session.reject, self._event.delivery_tag, requeue)

    def _claim(self) -> None:
        if not self._thread.alive:
            raise ConnectionLost("the delivery's connection belongs to another process, or the program is exiting")
        with _claims:  # of two threads that settle it, one is told that it came second
            super()._claim()


class Deliveries:
    """Iterates over a queue's deliveries. Made by BlockingChannel.consume; `close` cancels the consumer."""

    def __init__(self, channel: Channel, thread: LoopThread, inactivity_timeout_s: float | None) -> None:
        self._channel = channel
        self._thread = thread
        self._inactivity_timeout_s = inactivity_timeout_s
        self._arrived: SimpleQueue[Delivery | Exception | None] = SimpleQueue()
        self._consumer: Consumer | None = None
        self._over = False

    async def start(
        self,
        queue: str,
        *,
        prefetch: int | None,
        no_ack: bool,
        exclusive: bool,
        consumer_tag: str,
        arguments: Arguments,
    ) -> None:
        if prefetch is None and self._channel.prefetch is None and self._channel.prefetch_shared is None:
            prefetch = 1
        if prefetch is not None and not no_ack:
            await self._channel.qos(prefetch)
        # The inbox, not this object, is what the consumer holds: an iterator nobody has any more can be collected.
        arrived = self._arrived
        self._consumer = await self._channel.consume(
            queue,
            arrived.put,
            no_ack=no_ack,
            exclusive=exclusive,
            consumer_tag=consumer_tag,
            arguments=arguments,
            on_cancel=lambda: arrived.put(None),
            on_close=arrived.put,
        )

    @property
    def consumer_tag(self) -> str:
        return self._consumer.tag if self._consumer is not None else ""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BlockingDelivery:
        while not self._over:
            item = self._next_item()
            if isinstance(item, Exception):
                self._over = True
                raise again(item)
            if item is None:
                self.close()
            elif item.settled or not item.lost:  # a lost one comes again
                return BlockingDelivery(item, self._thread)
        raise StopIteration

    def _next_item(self) -> Delivery | Exception | None:
        """What came next; None when nothing did for too long, or when the consumer is at its end."""
        limit_s = self._inactivity_timeout_s
        deadline = None if limit_s is None else monotonic() + limit_s
        while True:
            wait_s = LOOK_S if deadline is None else min(LOOK_S, max(0.0, deadline - monotonic()))
            try:
                return self._arrived.get(timeout=wait_s)
            except Empty:
                if not self._thread.alive:
                    return ConnectionLost("the delivering thread is gone: another process's, or the program is exiting")
                if deadline is not None and monotonic() >= deadline:
                    return None

    def close(self) -> None:
        """Cancel the consumer and give back what was delivered but not handed out. Safe to call twice."""
        if self._over:
            return
        self._over = True
        consumer = self._consumer
        if consumer is not None and self._thread.alive:
            self._thread.run(_stop(consumer, self._arrived), self._channel.timeout_s, "the end of a consumer")

    def __del__(self) -> None:
        """Left without closing: stop all the same, without waiting (collection may happen on any thread)."""
        consumer = self._consumer
        if not self._over and consumer is not None and self._thread.alive:
            arrived = self._arrived
            self._thread.post(lambda: consumer.follow(_stop(consumer, arrived)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _stop(consumer: Consumer, arrived: SimpleQueue[Delivery | Exception | None]) -> None:
    """Cancel the consumer, then requeue what nobody will take. On the loop's thread."""
    await consumer.cancel()
    while True:
        try:
            item = arrived.get_nowait()
        except Empty:
            return
        if isinstance(item, Delivery) and not item.settled and not item.lost:
            item.nack(requeue=True)
