"""What becomes of a message, by the outcome of its task: the one place that acknowledges and gives back.

    Done     acknowledged
    Failed   published again to its queue, to be there after a pause, with the failure in its headers; once that is
             confirmed, acknowledged
    Crashed  likewise, with one more crash in its headers
    Parked   likewise, to the dead-letter queue

A crash between confirm and acknowledgement leaves two copies, never none. What cannot be moved just now is held, and moved
later: given back, its task would run again at once, and again.

A task that kills its worker leaves nobody to count its attempts, and classic queues do not count deliveries. So what
comes back (`redelivered`) is not run as it is: it is published again with one more crash in its headers, and that copy
is run, once the old one is acknowledged. Written down when its turn has come, not when it arrives: what only waited
beside the task that crashed goes back as often as it likes, unless its turn comes between. Only what was redelivered
costs this round trip, and it goes to the end of its queue.

Of several that ran when their worker died one cannot tell which killed it: all are charged. Those that were so twice run apart
from then on (runner), each in a process of its own, so that the guilty one is charged alone, and takes no worker with it
again. Used by worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil
from typing import Final

from msgspec.structs import replace

from leveret.client import Backoff, BasicProperties, Delivery
from leveret.errors import CodecError, LeveretError, ProtocolMisuse, TaskError
from leveret.tasks import Crashed, Failed, Message, Parked
from leveret.tasks.message import (
    properties_crashed,
    properties_failed,
    properties_parked,
    properties_unchanged,
    without_story,
)
from leveret.tasks.outbox import Outbox, Parcel
from leveret.tasks.topology import dead_queue

log = logging.getLogger("leveret.worker")

PUBLISH_S: Final = 30.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


def acknowledge(delivery: Delivery) -> bool:
    """False if its connection is gone: the broker has the message back and delivers it again."""
    try:
        delivery.ack()
    except LeveretError as error:
        log.warning("a finished message is delivered again, for its connection was lost: %s", error)
        return False
    return True


def give_back(delivery: Delivery) -> None:
    """To its old place in the queue, for whoever has room."""
    try:
        delivery.nack(requeue=True)
    except LeveretError as error:
        log.debug("a message was given back already: %s", error)


class Settler:
    """Moves what failed, through `outbox`; pauses as `backoff` says before it tries again."""

    def __init__(self, outbox: Outbox, now: Callable[[], datetime] = _utc_now, backoff: Backoff | None = None) -> None:
        self._outbox = outbox
        self._now = now
        self._backoff = backoff or Backoff()
        self._writing: dict[str, asyncio.Event] = {}

    async def settle(self, delivery: Delivery, message: Message, outcome: Failed | Parked) -> None:
        """Never raises but when cancelled. Ends when the message was moved, or its connection is lost."""
        if delivery.lost:
            log.warning("a failed message is delivered again, for its connection was lost: id=%s", message.id)
        else:
            delay_ms = ceil(outcome.delay_s * 1000) if isinstance(outcome, Failed) else 0
            await self._move(delivery, message, *self._destination(message, outcome), delay_ms)

    async def write_down(self, delivery: Delivery, message: Message) -> None:
        """That it starts once more, before it does. Never raises but when cancelled."""
        written = self._writing[message.id] = asyncio.Event()
        try:
            await self._move(delivery, message, message.queue, properties_crashed(message))
        finally:
            self._writing.pop(message.id, None)
            written.set()

    @property
    def writes(self) -> bool:
        """Whether anything is being written down just now."""
        return bool(self._writing)

    async def written(self, id: str) -> None:
        """Until the message that came back has been acknowledged, if its new copy came before that: begun sooner, the task could
        kill its worker with both of them."""
        if (writing := self._writing.get(id)) is not None:
            await writing.wait()

    async def wait_on(self, delivery: Delivery, message: Message) -> None:
        """Its delay was longer than the ladder: another round. Never raises but when cancelled."""
        await self._move(delivery, message, message.queue, properties_unchanged(message), message.wait_ms)

    async def put_back(self, delivery: Delivery, message: Message) -> None:
        """Its worker ends before it does. Given back it would be taken for one that may have killed its worker."""
        await self._move(delivery, message, message.queue, properties_unchanged(message))

    def _destination(self, message: Message, outcome: Failed | Parked) -> tuple[str, BasicProperties]:
        if isinstance(outcome, Crashed):
            return message.queue, properties_crashed(replace(message, crashes=message.crashes + 1))
        if isinstance(outcome, Failed):
            return message.queue, properties_failed(message, outcome.failure, self._now())
        return dead_queue(message.queue), properties_parked(message, outcome.failure, outcome.reason, self._now())

    async def _move(
        self, delivery: Delivery, message: Message, queue: str, properties: BasicProperties, delay_ms: int = 0
    ) -> None:
        attempt = 0
        while not delivery.lost:
            try:
                await self._outbox.put(Parcel(queue, message.body, properties, delay_ms), PUBLISH_S)
            except TaskError as error:  # there is no way to delay it
                log.error("message id=%s is not delayed: %s", message.id, error)
                delay_ms = 0
            except (ProtocolMisuse, CodecError) as error:
                log.error("message id=%s goes to queue %s without its traceback: %s", message.id, queue, error)
                properties = without_story(properties)
            except LeveretError as error:
                log.error("message id=%s cannot be moved to queue %s yet: %s", message.id, queue, error)
            else:
                acknowledge(delivery)
                return
            await self._backoff.wait(attempt)
            attempt += 1
