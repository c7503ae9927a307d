"""Nothing begins while a worker is quiet, or its queue is paused, whatever else its tasks are: limited, in lanes, of a workflow,
unique, urgent, in processes of their own. What waited begins afterwards. On both brokers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.tasks import Concurrency, Unique, WorkQueue, chain, group
from leveret.worker.worker import Worker
from worker.support import WITHIN_S, Program, until, until_ready, working

Halt = Callable[[Worker], contextlib.AbstractContextManager[None]]

MAIN = """
if __name__ == "__main__":
    sys.exit(work.run(threads=1, process_per_task=True))
"""


class Shop:
    """`hold` tells that it began and waits for the gate; `note` only tells."""

    def __init__(self, url: str, queue: str) -> None:
        self.work = WorkQueue(url, name=queue, default_queue=queue)
        self.queue = queue
        self.began: SimpleQueue[str] = SimpleQueue()
        self.gate = threading.Semaphore(0)

    def hold(self, name: str) -> str:
        self.began.put(name)
        assert self.gate.acquire(timeout=WITHIN_S)
        return name

    def note(self, name: str) -> str:
        self.began.put(name)
        return name

    def next(self) -> str:
        return self.began.get(timeout=WITHIN_S)

    def idle_with_nothing_begun(self, worker: Worker) -> None:
        """Once what ran has ended, and all that follows from it."""
        assert worker._runner is not None
        until(worker._runner.idle.is_set)
        assert len(worker._runner) == 0 and self.began.empty()


@pytest.fixture
def shop(broker: Broker, name: str) -> Iterator[Shop]:
    made = Shop(broker.url, f"halted.{name}")
    yield made
    made.gate.release(100)
    made.work.resume(made.queue)
    made.work.close()


@pytest.fixture(params=["quiet", "paused"])
def halted(request: pytest.FixtureRequest, shop: Shop) -> Halt:
    """As a worker that has heard of it."""

    @contextlib.contextmanager
    def quiet(worker: Worker) -> Iterator[None]:
        worker._loop.call_soon_threadsafe(worker.quiet)
        until(lambda: worker._slots.closed and worker.status().quiet and not worker._slots._waiting)
        yield
        worker._loop.call_soon_threadsafe(worker.resume)

    @contextlib.contextmanager
    def paused(worker: Worker) -> Iterator[None]:
        pauses = worker._pauses
        assert pauses is not None
        shop.work.pause(shop.queue)
        until(lambda: shop.queue in pauses.paused and not worker._slots._waiting)
        yield
        shop.work.resume(shop.queue)

    return quiet if request.param == "quiet" else paused


def test_who_waits_for_a_limit_of_its_key_does_not_begin_in_the_slot_that_is_left(shop: Shop, halted: Halt) -> None:
    @shop.work.task(concurrency=Concurrency(1, key="customer"))
    def hold(customer: str, name: str) -> str:
        return shop.hold(name)

    with working(shop.work, threads=2) as worker:
        hold.send("c", "first")
        assert shop.next() == "first"
        hold.send("c", "second")
        with halted(worker):
            shop.gate.release()
            shop.idle_with_nothing_begun(worker)
        shop.gate.release()
        assert shop.next() == "second"


def test_the_next_of_a_lane_does_not_begin(shop: Shop, halted: Halt) -> None:
    @shop.work.task(fair="customer", result=True)
    def hold(customer: str, name: str) -> str:
        return shop.hold(name)

    with working(shop.work, threads=1) as worker:
        sent = [hold.send("c", "1"), hold.send("c", "2"), hold.send("d", "3")]
        first = shop.next()
        with halted(worker):
            shop.gate.release()
            shop.idle_with_nothing_begun(worker)
        shop.gate.release(2)
        assert {first, shop.next(), shop.next()} == {"1", "2", "3"}
        assert {one.result(WITHIN_S) for one in sent} == {"1", "2", "3"}


def test_the_next_task_of_a_chain_and_what_follows_a_group_are_sent_and_wait(shop: Shop, halted: Halt) -> None:
    hold = shop.work.task(name="hold")(shop.hold)
    note = shop.work.task(name="note")(shop.note)

    @shop.work.task
    def count(names: list[str]) -> str:
        return shop.note(f"{len(names)}")

    with working(shop.work, threads=3) as worker:
        chained = chain(hold.call("one"), note.partial()).send()
        grouped = group([hold.call("two"), hold.call("three")]).then(count.partial()).send()
        assert {shop.next() for _ in range(3)} == {"one", "two", "three"}
        with halted(worker):
            shop.gate.release(3)
            shop.idle_with_nothing_begun(worker)
        assert {shop.next(), shop.next()} == {"one", "2"}
        assert (chained.result(WITHIN_S), grouped.result(WITHIN_S)) == ("one", "2")


def test_what_is_unique_and_waits_stays_so_until_it_is_done(shop: Shop, halted: Halt) -> None:
    @shop.work.task(unique=Unique("name", until_done=True), result=True)
    def hold(name: str) -> str:
        return shop.hold(name)

    one, other = f"{shop.queue}.1", f"{shop.queue}.2"  # a lock is everybody's
    with working(shop.work, threads=1) as worker:
        runs = hold.send(one)
        assert shop.next() == one
        with halted(worker):
            waits = hold.send(other)
            assert hold.send(one).duplicate and hold.send(other).duplicate
            shop.gate.release()
            assert runs.result(WITHIN_S) == one
            shop.idle_with_nothing_begun(worker)
            assert hold.send(other).duplicate
        shop.gate.release()
        assert shop.next() == waits.result(WITHIN_S) == other


def test_what_gathers_begins_by_its_priority(shop: Shop, halted: Halt) -> None:
    shop.work.queue(shop.queue, priorities=5)
    note = shop.work.task(name="note")(shop.note)
    with working(shop.work, threads=1) as worker:
        note.send("before")
        assert shop.next() == "before"
        with halted(worker):
            shop.idle_with_nothing_begun(worker)
            for priority in (1, 5, 3):
                note.options(priority=priority).send(f"{priority}")
            assert shop.began.empty()
        assert [shop.next() for _ in range(3)] == ["5", "3", "1"]


def test_a_worker_with_a_process_for_each_task_finishes_what_runs_and_begins_no_other(
    broker: Broker, name: str, tmp_path: Path, channel: BlockingChannel
) -> None:
    program = Program(tmp_path, broker.url, f"halted.{name}", MAIN)
    try:
        process, log = program.start("program.py")
        program.slow.send("a")
        pid, _ = program.started("a")
        assert pid != process.pid
        os.kill(process.pid, signal.SIGTSTP)
        log.until("worker quiet running=1")
        program.slow.send("b")
        program.open_gate()
        program.told.until("done a")
        log.until("done task=slow")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0
        until_ready(channel, program.queue, 1)
    finally:
        program.close()
