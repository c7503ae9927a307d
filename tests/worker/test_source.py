"""A queue that is not to be read any more: what comes at the last moment is not begun, and goes back."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from brokers import Broker
from leveret.client import Connection, Delivery
from leveret.errors import WaitTimeout
from leveret.tasks import Queue, WorkQueue
from leveret.worker.slots import Slots
from leveret.worker.source import Source
from worker.support import WITHIN_S, working


def test_what_is_delivered_while_the_worker_stops_is_not_begun(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = WorkQueue(broker.url, default_queue=f"source.{name}")
    begun: list[str] = []
    first_begins = threading.Event()
    first_may_end = threading.Event()
    second_came = asyncio.Event()

    @work.task
    def slow(which: str) -> None:
        begun.append(which)
        first_begins.set()
        first_may_end.wait(WITHIN_S)

    quiet, offer = Source.quiet, Slots.offer

    async def quiet_when_the_second_came(source: Source) -> None:
        """Its place is free as soon as the first is acknowledged; only then is the consumer cancelled."""
        first_may_end.set()
        await asyncio.wait_for(second_came.wait(), WITHIN_S)
        await quiet(source)

    def offered(slots: Slots, queue: str, delivery: Delivery) -> bool:
        if begun:
            second_came.set()
        return offer(slots, queue, delivery)

    monkeypatch.setattr(Source, "quiet", quiet_when_the_second_came)
    monkeypatch.setattr(Slots, "offer", offered)
    with working(work, threads=1):
        slow.send("first")
        slow.send("second")
        assert first_begins.wait(WITHIN_S)
    assert begun == ["first"]
    with broker.connect() as connection:
        assert connection.channel().queue_declare(f"source.{name}", passive=True).method.message_count == 1


class Given:
    """A delivery that remembers that it was given back."""

    lost = False

    def __init__(self) -> None:
        self.back = False

    def nack(self, requeue: bool) -> None:
        self.back = requeue


class Deaf:
    """A consumer whose cancellation the broker does not answer."""

    async def cancel(self) -> None:
        raise WaitTimeout("no reply to basic.cancel")


def test_what_waits_goes_back_even_if_the_broker_does_not_answer() -> None:
    slots = Slots(1, lambda queue, delivery: None)
    source = Source(cast(Connection, None), Queue("q"), slots)
    source._consumer = cast(Any, Deaf())
    running, waiting = Given(), Given()
    for one in (running, waiting):
        slots.offer("q", cast(Delivery, one))
    slots.close()
    asyncio.run(source.quiet())
    assert (running.back, waiting.back) == (False, True)
