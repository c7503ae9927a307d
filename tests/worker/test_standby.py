"""Tasks that a thread begins by itself: not begun before that, exactly once, and never against the will of anybody."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.client import Delivery
from leveret.errors import TimeLimitExceeded
from leveret.tasks import Concurrency, Rate, Retries, WorkQueue, current_task
from leveret.worker.pace import ENOUGH
from leveret.worker.pool import Threads, Work
from leveret.worker.slots import Slots
from leveret.worker.standby import Standby
from leveret.worker.worker import Worker
from worker.support import WITHIN_S, until, until_ready, working

# ---- threads


class Place:
    """What is done on threads, told in its order."""

    def __init__(self) -> None:
        self.said: SimpleQueue[str] = SimpleQueue()
        self.gate = threading.Semaphore(0)

    def work(self, name: str) -> Work:
        def call() -> None:
            self.said.put(f"{name} begins")
            assert self.gate.acquire(timeout=WITHIN_S)

        return Work(
            call, lambda result, error: self.said.put(f"{name} ended"), lambda: self.said.put(f"{name} is taken")
        )

    def submit(self, threads: Threads, name: str) -> None:
        work = self.work(name)
        threads.submit(work.call, work.ended)

    def hear(self, number: int) -> list[str]:
        return [self.said.get(timeout=WITHIN_S) for _ in range(number)]


def test_a_thread_goes_on_with_what_is_reserved_and_says_so_before_it_tells_of_the_end() -> None:
    threads, place = Threads(2), Place()
    place.submit(threads, "first")
    assert place.hear(1) == ["first begins"]
    threads.reserve(place.work("second"))
    place.gate.release(2)
    assert place.hear(4) == ["second is taken", "first ended", "second begins", "second ended"]


def test_what_is_reserved_wakes_no_thread_and_is_recalled_once() -> None:
    threads, place = Threads(2), Place()
    place.submit(threads, "first")
    assert place.hear(1) == ["first begins"]
    kept, recalled = place.work("kept"), place.work("recalled")
    threads.reserve(recalled)
    threads.reserve(kept)
    assert threads.recall(recalled)
    assert not threads.recall(recalled)
    place.gate.release()
    assert place.hear(3) == ["kept is taken", "first ended", "kept begins"]
    assert not threads.recall(kept)
    place.gate.release()
    assert place.hear(1) == ["kept ended"]


# ---- slots


class Given:
    """A delivery that says its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost = False

    def __repr__(self) -> str:
        return self.name


class Ready(Standby):
    """Takes all queues but some, up to two at once; the test is the thread."""

    def __init__(self, *refused: str) -> None:
        self.standing: list[tuple[str, Delivery]] = []
        self.begun: list[Delivery] = []
        self.refused = refused

    def __len__(self) -> int:
        return len(self.standing)

    def has(self, queue: str) -> bool:
        return queue in self.queues()

    def queues(self) -> list[str]:
        return [queue for queue, _ in self.standing]

    def wants(self, queue: str) -> bool:
        return len(self.standing) < 2 and queue not in self.refused

    def add(self, queue: str, delivery: Delivery) -> bool:
        self.standing.append((queue, delivery))
        return True

    def begin_first(self) -> bool:
        if not self.standing:
            return False
        self.begun.append(self.standing.pop(0)[1])
        return True

    def recall(self, queue: str) -> list[Delivery]:
        recalled = [delivery for name, delivery in self.standing if name == queue]
        self.standing = [one for one in self.standing if one[0] != queue]
        return recalled


@dataclass
class Hall:
    """Slots, with what started there in the ordinary way."""

    number: int = 1
    ready: Ready = field(default_factory=Ready)
    started: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slots = Slots(self.number, lambda _, delivery: self.started.append(delivery), standby=self.ready)

    def offer(self, queue: str, *names: str) -> None:
        for name in names:
            self.slots.offer(queue, cast(Delivery, Given(name)))

    def take(self) -> str:
        """As a thread that has ended a task does, and then tells."""
        _, delivery = self.ready.standing.pop(0)
        self.slots.pass_on()
        self.slots.release()
        return repr(delivery)


def test_the_next_ones_stand_by_and_a_slot_that_was_passed_on_is_not_free() -> None:
    hall = Hall()
    hall.offer("q", *"abcd")
    assert repr((hall.started, hall.ready.standing)) == "([a], [('q', b), ('q', c)])"
    assert [hall.take(), hall.take()] == ["b", "c"]
    assert hall.slots.busy("q") and hall.slots.crowded("q"), "d stands by"
    hall.slots.release()
    assert repr(hall.ready.begun) == "[d]", "no thread took it: the slot is its own"
    assert hall.slots.free == 0 and not hall.slots.busy("q")
    hall.slots.release()
    assert (hall.slots.free, hall.slots.ended) == (1, 4)
    assert repr(hall.started) == "[a]"


def test_a_slot_that_was_passed_on_is_wanted_by_nobody_else() -> None:
    hall = Hall()
    hall.offer("q", "a", "b")
    hall.ready.standing.clear()
    hall.slots.pass_on()
    assert hall.slots.busy("q"), "whoever asks before the end is settled would have it twice"
    hall.slots.release()
    assert not hall.slots.busy("q")


@pytest.mark.parametrize("end", ["hold", "close", "withdraw"])
def test_what_is_recalled_waits_in_its_old_place(end: str) -> None:
    hall = Hall()
    hall.offer("q", *"abcd")
    if end == "hold":
        hall.slots.hold("q")
    elif end == "close":
        hall.slots.close()
    assert bool(hall.ready.standing) is (end == "withdraw"), "a thread may have begun one meanwhile"
    assert repr(hall.slots.withdraw("q")) == "[b, c, d]"
    assert not hall.ready.standing and not hall.slots.crowded("q")
    hall.slots.release()
    assert repr(hall.started) == "[a]" and hall.slots.free == 1


def test_a_queue_that_is_let_again_stands_by_again() -> None:
    hall = Hall()
    hall.offer("q", *"abcd")
    hall.slots.hold("q")
    hall.offer("q", "e")
    assert not hall.ready.standing
    hall.slots.let("q")
    assert repr(hall.ready.standing) == "[('q', b), ('q', c)]"


def test_another_queue_that_may_not_stand_by_keeps_its_turn() -> None:
    hall = Hall(ready=Ready("slow"))
    hall.offer("slow", "s1", "s2")
    hall.offer("quick", "q1", "q2", "q3")
    for _ in range(6):
        if hall.ready.standing:
            hall.take()
        else:
            hall.slots.release()
    assert not hall.slots._waiting and not hall.ready.standing
    assert repr(hall.started) in ("[s1, s2, q1]", "[s1, s2]", "[s1, q1, s2]")


# ---- a worker


class Tasks:
    """A program whose task `hold` waits until the test lets it go on."""

    def __init__(self, url: str, queue: str) -> None:
        self.work = WorkQueue(url, name=queue, default_queue=queue)
        self.queue = queue
        self.began: SimpleQueue[str] = SimpleQueue()
        self.gate = threading.Semaphore(0)
        self.ran: SimpleQueue[str] = SimpleQueue()
        self.hold = self.work.task(name="hold")(self._hold)

    def _hold(self, name: str) -> None:
        self.began.put(name)
        assert self.gate.acquire(timeout=WITHIN_S)
        self.ran.put(name)

    def send(self, *names: str) -> None:
        for name in names:
            self.hold.send(name)

    def next(self) -> str:
        return self.began.get(timeout=WITHIN_S)

    def ended(self, number: int) -> list[str]:
        return [self.ran.get(timeout=WITHIN_S) for _ in range(number)]


@pytest.fixture
def tasks(broker: Broker, name: str) -> Iterator[Tasks]:
    made = Tasks(broker.url, f"standby.{name}")
    yield made
    made.gate.release(1000)
    made.work.resume(made.queue)
    made.work.close()


@contextmanager
def quick(tasks: Tasks, threads: int = 1, **options: Any) -> Iterator[Worker]:
    """A worker that holds what its queue has for soon over, and runs the task `a`."""
    with working(tasks.work, threads=threads, **options) as worker:
        until(lambda: worker._ready)
        assert worker._runner is not None
        pace = worker._runner.pace(tasks.queue)
        for _ in range(ENOUGH):
            pace.took(0.01)
        tasks.send(*"abcdefghi"[:threads])
        for _ in range(threads):
            tasks.next()
        yield worker


def standing(worker: Worker) -> list[str]:
    assert worker._runner is not None
    return [held.message.body.decode() for held in list(worker._runner.standby._standing.values())]


def until_standing(worker: Worker, number: int = 1) -> None:
    until(lambda: len(standing(worker)) == number)


def running(worker: Worker) -> list[str]:
    """Ids, the oldest first."""
    assert worker._runner is not None
    return [one.id for one in worker._runner.under_way()]


@contextmanager
def blocked(worker: Worker) -> Iterator[None]:
    """Its event loop does nothing meanwhile."""
    entered, leave = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert leave.wait(WITHIN_S)

    worker._loop.call_soon_threadsafe(block)
    assert entered.wait(WITHIN_S)
    try:
        yield
    finally:
        leave.set()


def test_a_thread_begins_the_next_task_without_the_loop_and_then_it_is_seen_to_run(
    tasks: Tasks, channel: BlockingChannel
) -> None:
    with quick(tasks) as worker:
        handles = [tasks.hold.send(name) for name in "bc"]
        until_standing(worker)
        assert len(running(worker)) == 1, "what stands by does not run"
        with blocked(worker):
            tasks.gate.release()
            assert tasks.next() == "b"
        assert until(lambda: handles[0].id in running(worker))
        assert running(worker) == [handles[0].id]
        tasks.gate.release(2)
        assert tasks.ended(3) == ["a", "b", "c"]
    until_ready(channel, tasks.queue, 0)


def test_what_is_cancelled_while_it_stands_by_never_runs(tasks: Tasks) -> None:
    with quick(tasks) as worker:
        cancelled = tasks.hold.send("b")
        tasks.send("c")
        until_standing(worker)
        assert worker._runner is not None
        (held,) = worker._runner.standby._standing.values()
        worker._loop.call_soon_threadsafe(worker._runner.cancel, cancelled.id)
        until(lambda: held.job is not None and held.job.context.cancelled)
        with blocked(worker):
            tasks.gate.release()
            until(lambda: held.begun_s is not None)
        tasks.gate.release()
        assert tasks.ended(2) == ["a", "c"]
        until(lambda: not running(worker))


def test_a_pause_takes_back_what_stands_by(tasks: Tasks, channel: BlockingChannel) -> None:
    with quick(tasks, threads=2) as worker:
        tasks.send(*"cdef")
        until_standing(worker, 2)
        tasks.work.pause(tasks.queue, by="a test")
        until_ready(channel, tasks.queue, 4)
        assert not standing(worker)
        tasks.gate.release(2)
        assert sorted(tasks.ended(2)) == ["a", "b"]
        assert tasks.began.empty()
        tasks.work.resume(tasks.queue)
        tasks.gate.release(4)
        assert sorted(tasks.ended(4)) == list("cdef")


def test_a_worker_that_stops_gives_back_what_stands_by(tasks: Tasks, channel: BlockingChannel) -> None:
    with quick(tasks, threads=2) as worker:
        tasks.send(*"cdef")
        until_standing(worker, 2)
        worker._loop.call_soon_threadsafe(worker.stop)
        until_ready(channel, tasks.queue, 4)
        tasks.gate.release(2)
        assert sorted(tasks.ended(2)) == ["a", "b"]
    assert tasks.began.empty()
    until_ready(channel, tasks.queue, 4)


def test_what_was_lost_with_its_connection_is_not_run_twice(tasks: Tasks, channel: BlockingChannel) -> None:
    """Even if a thread takes it before the worker has looked."""
    lost, look = threading.Event(), threading.Event()
    with quick(tasks) as worker:
        tasks.send("b", "c")
        until_standing(worker)
        told = worker._connections[0].on_lost

        def late(error: Exception) -> None:
            lost.set()
            assert look.wait(WITHIN_S)
            told(error)

        worker._connections[0].on_lost = late
        with socket.socket(fileno=os.dup(worker._connections[0].fileno())) as doomed:
            doomed.shutdown(socket.SHUT_RDWR)
        assert lost.wait(WITHIN_S)
        tasks.gate.release(10)
        assert worker._runner is not None
        threads = worker._runner._hands._threads
        until(lambda: not threads._reserved and not threads._awake)
        look.set()
        assert sorted(tasks.ended(4)) == ["a", "a", "b", "c"], "only what ran when it was lost comes twice"
        until(lambda: worker._slots.free == 1 and not running(worker) and not standing(worker))
    assert tasks.ran.empty()
    until_ready(channel, tasks.queue, 0)


def test_who_stands_by_behind_a_long_task_goes_to_an_idle_worker(broker: Broker, tasks: Tasks) -> None:
    others = Tasks(broker.url, tasks.queue)
    with quick(tasks) as worker:
        tasks.send("b")
        until_standing(worker)
        with working(others.work, threads=1):
            assert others.next() == "b"
            others.gate.release()
            assert others.ended(1) == ["b"]
        assert not standing(worker)
        tasks.gate.release()


def test_a_time_limit_counts_from_when_the_thread_began(tasks: Tasks) -> None:
    outcome: SimpleQueue[str] = SimpleQueue()

    @tasks.work.task(time_limit=0.05, hard_time_limit=WITHIN_S, retry=Retries(1))
    def endless() -> None:
        try:
            while True:
                time.sleep(0.001)
        except TimeLimitExceeded:
            outcome.put("interrupted")
            raise

    with quick(tasks) as worker:
        endless.send()
        until_standing(worker)
        assert worker._runner is not None
        (held,) = worker._runner.standby._standing.values()
        assert held.begun_s is None and not held.timers
        tasks.gate.release()
        assert outcome.get(timeout=WITHIN_S) == "interrupted"


@pytest.mark.parametrize(
    "settings",
    [{"expires": 3600.0}, {"concurrency": Concurrency(1)}, {"rate": Rate(100, 1)}],
    ids=lambda settings: next(iter(settings)),
)
def test_what_needs_the_loop_before_it_begins_waits_for_it(tasks: Tasks, settings: dict[str, Any]) -> None:
    ran: SimpleQueue[str] = SimpleQueue()

    @tasks.work.task(**settings)
    def special() -> None:
        ran.put("special")

    with quick(tasks) as worker:
        special.send()
        until(lambda: worker._slots.crowded(tasks.queue))
        assert not standing(worker)
        tasks.gate.release()
        assert ran.get(timeout=WITHIN_S) == "special"


def test_what_came_back_is_written_down_before_it_begins(tasks: Tasks) -> None:
    with quick(tasks) as worker:
        tasks.send("b")
        until_standing(worker)
        assert worker._runner is not None
        (held,) = worker._runner.standby._standing.values()
        delivery: Any = SimpleNamespace(
            body=held.delivery.body, properties=held.delivery.properties, redelivered=True, lost=False
        )
        assert worker._runner._prepare(tasks.queue, delivery) is None
        delivery.redelivered = False
        assert worker._runner._prepare(tasks.queue, delivery) is not None
        tasks.gate.release(2)
        assert tasks.ended(2) == ["a", "b"]


def test_a_worker_for_so_many_tasks_runs_no_more(tasks: Tasks) -> None:
    with quick(tasks, max_tasks=1000) as worker:
        tasks.send(*"bcd")
        until(lambda: worker._slots.crowded(tasks.queue))
        assert not standing(worker)
        tasks.gate.release(4)
        assert tasks.ended(4) == list("abcd")


def test_never_more_run_than_there_are_slots_and_all_slots_are_free_again(broker: Broker, name: str) -> None:
    work = WorkQueue(broker.url, default_queue=f"many.{name}")
    threads, count = 4, 600
    lock, now, most = threading.Lock(), 0, 0
    done: SimpleQueue[int] = SimpleQueue()

    @work.task(retry=Retries(2, first_s=0))
    def step(number: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.001 * (number % 3))
        with lock:
            now -= 1
        if number % 5 == 0 and current_task().attempt == 1:
            raise ValueError("the first time")
        done.put(number)

    with working(work, threads=threads) as worker:
        work.send_many([step.call(number) for number in range(count)])
        assert sorted(done.get(timeout=WITHIN_S) for _ in range(count)) == list(range(count))
        until(lambda: worker._slots.free == threads and not running(worker))
        assert worker._slots._passed_on == 0
        assert most <= threads
        assert worker._runner is not None and len(worker._runner.standby) == 0
    assert done.empty()
