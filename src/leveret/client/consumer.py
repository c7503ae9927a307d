"""A consumer: the callback that takes a queue's deliveries, and what is needed to start it again.

A callback that is a plain function runs at once, where the bytes arrived; one that returns an awaitable gets a task.
Made by client/channel, fed by client/session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from leveret.client.callbacks import notify
from leveret.client.delivery import Delivery
from leveret.wire.methods import BasicConsume

if TYPE_CHECKING:
    from leveret.client.channel import Channel

log = logging.getLogger(__name__)

Callback = Callable[[Delivery], Awaitable[Any] | None]
OnCancel = Callable[[], object]
OnClose = Callable[[Exception], object]


class Consumer:
    """One running consumer. `on_cancel()` is called if the broker cancels it, as when its queue is deleted;
    `on_close(error)` when its channel is closed for good.

    A callback that raises is logged, and its delivery stays unacknowledged: the broker has it back when the channel
    closes.
    """

    def __init__(
        self,
        channel: Channel,
        callback: Callback,
        queue: str,
        tag: str,
        *,
        no_ack: bool,
        exclusive: bool,
        arguments: Mapping[str, Any] | None,
        prefetch: int | None,
        on_cancel: OnCancel | None = None,
        on_close: OnClose | None = None,
    ) -> None:
        self.channel = channel
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.arguments = dict(arguments or {})
        self.prefetch = prefetch
        self.cancelled = False
        self.on_cancel = on_cancel
        self.on_close = on_close
        self._callback = callback
        self._tasks: set[asyncio.Future[Any]] = set()

    def method(self) -> BasicConsume:
        """What starts it."""
        return BasicConsume(
            queue=self.queue,
            consumer_tag=self.tag,
            no_ack=self.no_ack,
            exclusive=self.exclusive,
            arguments=self.arguments,
        )

    def take(self, delivery: Delivery) -> None:
        try:
            waiting = self._callback(delivery)
            if waiting is not None:
                self.follow(waiting)
        except Exception:
            log.exception("consumer %s of queue %r failed on %r", self.tag, self.queue, delivery)

    def follow(self, waiting: Awaitable[Any]) -> None:
        """Let `waiting` run to its end beside all else; what it raises is logged."""
        task = asyncio.ensure_future(waiting)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("consumer %s of queue %r failed", self.tag, self.queue, exc_info=task.exception())

    async def cancel(self) -> None:
        """No more deliveries; those not yet settled stay with this program. Safe to call twice."""
        await self.channel.cancel(self)

    def cancelled_by_broker(self) -> None:
        self.cancelled = True
        self.channel.forget_auto_deleted(self.queue)
        notify(self.on_cancel, f"consumer {self.tag}")

    def ended(self, error: Exception) -> None:
        """Its channel was closed for good."""
        self.cancelled = True
        notify(self.on_close, f"consumer {self.tag}", error)
