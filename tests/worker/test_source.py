"""A queue that is not to be read any more: what comes at the last moment is not begun, and goes back."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any, cast

import pytest
from pika import BasicProperties

from brokers import Broker
from leveret.client import Connection, Delivery
from leveret.errors import WaitTimeout
from leveret.tasks import Queue, WorkQueue, wait_many
from leveret.worker.options import SLOTS_MAX
from leveret.worker.pace import Pace
from leveret.worker.slots import Slots
from leveret.worker.source import AHEAD_S, GiveBack, Source
from worker.support import WITHIN_S, declare, working


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


class SetPace:
    """As quick as the test says."""

    quick = False
    mean_s = 0.001

    def took(self, took_s: float) -> None:
        """Measures nothing."""


def test_quick_tasks_are_fetched_ahead_until_they_are_not_quick_any_more(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = WorkQueue(broker.url, default_queue=f"ahead.{name}", results=True)
    pace = SetPace()
    prefetches: queue.SimpleQueue[int] = queue.SimpleQueue()

    @work.task
    def double(number: int) -> int:
        return 2 * number

    class Told(Source):
        def __init__(self, connection: Connection, declared: Queue, slots: Slots, _: Pace, give_back: GiveBack) -> None:
            super().__init__(connection, declared, slots, cast(Pace, pace), give_back)

        async def _consume(self) -> None:
            await super()._consume()
            assert self._consumer is not None and self._consumer.prefetch is not None
            prefetches.put(self._consumer.prefetch)

    monkeypatch.setattr("leveret.worker.worker.Source", Told)
    with working(work, threads=2):
        assert prefetches.get(timeout=WITHIN_S) == 2
        for quick, prefetch in ((True, 2 + 2 * AHEAD_S / pace.mean_s), (False, 2)):
            pace.quick = quick
            sent = work.send_many([double.call(number) for number in range(50)])
            assert prefetches.get(timeout=WITHIN_S) == prefetch
            assert wait_many(sent, WITHIN_S) == [2 * number for number in range(50)]
    assert prefetches.empty()


@pytest.mark.parametrize("crashes", [0, 1])
def test_what_waited_in_vain_goes_back_to_its_place_unless_that_would_be_held_against_it(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch, crashes: int
) -> None:
    """What comes back is taken for one that was begun. Once is no harm; a message that has a crash already goes as a new copy."""
    work = WorkQueue(broker.url, default_queue=f"source.{name}")
    begins, waits, may_end = threading.Event(), threading.Event(), threading.Event()

    @work.task
    def hold() -> None:
        begins.set()
        may_end.wait(WITHIN_S)

    @work.task(queue=f"other.{name}")
    def other() -> None:
        """Does not come to run."""

    offer = Slots.offer

    def offered(slots: Slots, queue: str, delivery: Delivery) -> bool:
        if queue == other.queue:
            waits.set()
        return offer(slots, queue, delivery)

    monkeypatch.setattr(Slots, "offer", offered)
    with working(work, threads=1), broker.connect() as connection:
        channel = connection.channel()
        declare(channel, other.queue)
        hold.send()
        assert begins.wait(WITHIN_S)
        headers = {"x-leveret-crashes": crashes} if crashes else {}
        channel.basic_publish("", other.queue, b"{}", BasicProperties(type="other", message_id="1", headers=headers))
        assert waits.wait(WITHIN_S)
        for _ in range(int(WITHIN_S / 0.05)):
            method, properties, _ = channel.basic_get(other.queue, auto_ack=True)
            if method is not None:
                break
            connection.sleep(0.05)
        assert method is not None, "it is not given back"
        may_end.set()
    assert method.redelivered == (not crashes)
    assert properties.headers.get("x-leveret-crashes", 0) == crashes


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
    source = Source(cast(Connection, None), Queue("q"), slots, Pace())
    source._consumer = cast(Any, Deaf())
    running, waiting = Given(), Given()
    for one in (running, waiting):
        slots.offer("q", cast(Delivery, one))
    slots.close()
    asyncio.run(source.quiet())
    assert (running.back, waiting.back) == (False, True)


def test_no_more_is_fetched_ahead_than_amqp_can_number() -> None:
    pace = SetPace()
    source = Source(
        cast(Connection, None), Queue("q"), Slots(SLOTS_MAX, lambda queue, delivery: None), cast(Pace, pace)
    )
    source._ahead = True
    assert source._prefetch() == SLOTS_MAX
