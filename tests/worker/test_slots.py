"""Slots and threads: how much runs at once, and what waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, cast

import pytest

from leveret.client import Delivery
from leveret.errors import TaskError
from leveret.worker.options import Options
from leveret.worker.pool import TaskLoop, Threads
from leveret.worker.slots import Slots
from worker.support import WITHIN_S, await_end_of_task_threads


class FakeDelivery:
    lost = False


def deliveries() -> Iterator[Delivery]:
    while True:
        yield cast(Delivery, FakeDelivery())


@pytest.fixture
def started() -> list[tuple[str, Delivery]]:
    return []


@pytest.fixture
def slots(started: list[tuple[str, Delivery]]) -> Slots:
    return Slots(2, lambda queue, delivery: started.append((queue, delivery)))


def test_as_many_start_as_there_are_slots_and_the_rest_wait_in_order(
    slots: Slots, started: list[tuple[str, Delivery]]
) -> None:
    a, b, c, d = (next(deliveries()) for _ in range(4))
    assert [slots.offer("q", one) for one in (a, b, c, d)] == [True, True, False, False]
    slots.release()
    assert [one for _, one in started] == [a, b, c]
    slots.release()
    assert [one for _, one in started] == [a, b, c, d]


def test_there_is_room_when_a_slot_is_free_and_nobody_waits(slots: Slots) -> None:
    for one, _ in zip(deliveries(), range(3), strict=False):
        slots.offer("q", one)
    assert not slots.room.is_set()
    slots.release()
    assert not slots.room.is_set()
    slots.release()
    assert slots.room.is_set()
    assert (slots.free, slots.ended) == (1, 2)


def test_nothing_starts_once_they_are_closed_and_all_that_waits_can_be_withdrawn(
    slots: Slots, started: list[tuple[str, Delivery]]
) -> None:
    a, b, c, d, e = (next(deliveries()) for _ in range(5))
    for one in (a, b, c):
        slots.offer("q", one)
    slots.close()
    assert not slots.offer("q", d)
    slots.release()
    slots.release()
    assert not slots.offer("q", e), "closed slots started what came when one was free"
    assert [one for _, one in started] == [a, b]
    assert slots.withdraw("q") == [c, d, e]


def test_what_is_withdrawn_waits_no_more_and_leaves_other_queues_alone(
    slots: Slots, started: list[tuple[str, Delivery]]
) -> None:
    a, b, c, d = (next(deliveries()) for _ in range(4))
    for queue, one in (("x", a), ("x", b), ("x", c), ("y", d)):
        slots.offer(queue, one)
    assert slots.crowded("x")
    assert slots.withdraw("x") == [c]
    assert not slots.crowded("x")
    slots.release()
    assert started[-1] == ("y", d)


def test_one_whose_connection_was_lost_while_it_waited_is_not_started(
    slots: Slots, started: list[tuple[str, Delivery]]
) -> None:
    lost: Any = FakeDelivery()
    for one in (next(deliveries()), next(deliveries()), cast(Delivery, lost)):
        slots.offer("q", one)
    lost.lost = True
    slots.release()
    assert (len(started), slots.free) == (2, 1)


def submitted(threads: Threads, call: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def ended(result: Any, error: BaseException | None) -> None:
        future.set_result(result) if error is None else future.set_exception(error)

    threads.submit(call, ended)
    return future


def test_threads_are_started_as_they_are_needed_and_used_again() -> None:
    threads = Threads(2)
    gate = threading.Barrier(3)
    both = [submitted(threads, lambda: (gate.wait(WITHIN_S), threading.current_thread().name)[1]) for _ in range(2)]
    gate.wait(WITHIN_S)
    names = {future.result(WITHIN_S) for future in both}
    assert len(names) == 2
    later = {submitted(threads, lambda: threading.current_thread().name).result(WITHIN_S) for _ in range(10)}
    assert later <= names


def test_more_work_than_threads_is_done_in_its_turn() -> None:
    threads = Threads(2)
    futures = [submitted(threads, lambda n=n: n) for n in range(100)]  # type: ignore[misc]
    assert [future.result(WITHIN_S) for future in futures] == list(range(100))


def test_what_a_thread_raises_is_told_and_the_thread_goes_on() -> None:
    threads = Threads(1)

    def leave() -> None:
        raise SystemExit(1)

    assert isinstance(submitted(threads, leave).exception(10), SystemExit)
    assert submitted(threads, lambda: 1).result(WITHIN_S) == 1


class Looks:
    """An event loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.looked = 0

    def call_later(self, delay_s: float, call: Callable[..., None], *values: Any) -> None:
        self.calls.append(lambda: call(*values))

    def pass_by(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()

    def count(self) -> None:
        self.looked += 1


@pytest.fixture
def looks() -> Looks:
    return Looks()


def brief(threads: Threads, call: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()
    threads.submit(call, lambda result, error: future.set_result(result), brief=True)
    return future


def test_brief_work_waits_for_the_thread_that_runs_and_wakes_no_other(looks: Looks) -> None:
    threads = Threads(4)
    threads.serving(cast(asyncio.AbstractEventLoop, looks), looks.count)
    gate, entered = threading.Event(), threading.Event()
    first = submitted(threads, lambda: (entered.set(), gate.wait(WITHIN_S), threading.current_thread().name)[2])
    assert entered.wait(WITHIN_S)
    others = [brief(threads, lambda: threading.current_thread().name) for _ in range(50)]
    assert threads.looks and not any(other.done() for other in others)
    gate.set()
    assert {other.result(WITHIN_S) for other in others} == {first.result(WITHIN_S)}
    assert not threads.looks


def test_brief_work_that_waits_too_long_gets_another_thread(looks: Looks) -> None:
    threads = Threads(2)
    threads.serving(cast(asyncio.AbstractEventLoop, looks), looks.count)
    gate, entered = threading.Event(), threading.Event()
    first = submitted(threads, lambda: (entered.set(), gate.wait(WITHIN_S), threading.current_thread().name)[2])
    assert entered.wait(WITHIN_S)
    other = brief(threads, lambda: threading.current_thread().name)
    looks.pass_by()
    name = other.result(WITHIN_S)
    gate.set()
    assert name != first.result(WITHIN_S)
    assert looks.looked == 1


def test_brief_work_that_finds_all_asleep_wakes_one(looks: Looks) -> None:
    threads = Threads(2)
    threads.serving(cast(asyncio.AbstractEventLoop, looks), looks.count)
    assert [brief(threads, lambda n=n: n).result(WITHIN_S) for n in range(100)] == list(range(100))  # type: ignore[misc]


def test_async_tasks_share_one_loop_and_can_be_cancelled() -> None:
    tasks = TaskLoop()
    loops: list[asyncio.AbstractEventLoop] = []
    cleaned = threading.Event()
    entered = threading.Event()

    async def forever() -> None:
        loops.append(asyncio.get_running_loop())
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async def short() -> None:
        loops.append(asyncio.get_running_loop())

    future = tasks.submit(forever())
    tasks.submit(short()).result(WITHIN_S)
    assert entered.wait(WITHIN_S)
    asyncio.run(tasks.cancel())
    assert cleaned.is_set()
    assert future.cancelled()
    assert loops[0] is loops[1]


def test_threads_end_when_what_was_submitted_is_done_and_take_no_more() -> None:
    before = set(threading.enumerate())
    threads = Threads(2)
    gate, entered = threading.Event(), threading.Event()
    submitted(threads, lambda: None).result(WITHIN_S)
    slow = submitted(threads, lambda: (entered.set(), gate.wait(WITHIN_S))[1])
    others = [submitted(threads, lambda n=n: n) for n in range(10)]  # type: ignore[misc]
    assert entered.wait(WITHIN_S)
    threads.end()
    with pytest.raises(RuntimeError, match="have ended"):
        submitted(threads, lambda: None)
    assert [other.result(WITHIN_S) for other in others] == list(range(10))
    gate.set()
    assert slow.result(WITHIN_S)
    await_end_of_task_threads(before)


def test_the_loop_of_async_tasks_ends_and_cancels_what_they_have_left_running() -> None:
    before = set(threading.enumerate())
    tasks = TaskLoop()
    left: list[asyncio.Task[None]] = []
    helped: list[int] = []

    async def leave_something_running() -> None:
        left.append(asyncio.create_task(asyncio.sleep(3600)))
        helped.append(await asyncio.to_thread(lambda: 1))

    tasks.submit(leave_something_running()).result(WITHIN_S)
    tasks.end()
    await_end_of_task_threads(before)
    assert left[0].cancelled() and helped == [1]


def test_cancelling_what_never_began_is_nothing() -> None:
    asyncio.run(TaskLoop().cancel())


@pytest.mark.parametrize("options", [Options(threads=0), Options(threads=70_000), Options(shutdown_timeout_s=-1.0)])
def test_options_that_cannot_be_meant_are_refused(options: Options) -> None:
    with pytest.raises(TaskError):
        options.check()


def test_queues_have_their_turns_by_their_weight_evenly_spread() -> None:
    order: list[str] = []
    slots = Slots(1, lambda queue, _: order.append(queue), lambda queue: {"much": 3, "some": 2}.get(queue, 1))
    one = deliveries()
    slots.offer("first", next(one))
    for queue in ("much", "some", "little"):
        for _ in range(12):
            slots.offer(queue, next(one))
    for _ in range(12):
        slots.release()
    assert "".join(queue[0] for queue in order[1:]) == "msmlsm" * 2


def test_a_queue_that_had_nothing_does_not_save_up_turns() -> None:
    order: list[str] = []
    slots = Slots(1, lambda queue, _: order.append(queue), lambda _: 1)
    one = deliveries()
    for _ in range(50):
        slots.offer("a", next(one))
    for _ in range(20):
        slots.release()
    for _ in range(10):
        slots.offer("b", next(one))
    for _ in range(10):
        slots.release()
    assert order[21:31].count("a") == order[21:31].count("b") == 5
