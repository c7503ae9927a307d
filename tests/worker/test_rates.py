"""Limits of how often tasks begin, by key and among all workers: not exceeded in any window, and reached."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue

import pytest

from brokers import Broker
from client.support import run
from leveret.client import connect
from leveret.errors import TaskError
from leveret.tasks import Message, Rate, Retries, WorkQueue, current_message
from leveret.worker.rates import Rates
from worker.support import WITHIN_S, working

PER_S = 1.0
FINE_S = 0.05
"""Brokers look at their clocks when they have time to."""


def assert_slow_enough(start_s: float, times: list[float], most: int, per_s: float) -> None:
    """However late a task begins on a busy machine: so many cannot have been let through since the start."""
    for place, at_s in enumerate(sorted(times)):
        assert at_s - start_s >= (place // most) * per_s - FINE_S


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=f"rates.{name}", retry=Retries(1))


def test_in_no_window_more_are_let_through_than_the_rate_and_so_many_are(broker: Broker, name: str) -> None:
    rate = Rate(4, per_s=PER_S)

    async def main() -> None:
        spans: list[tuple[float, float]] = []
        async with await connect(broker.url) as first, await connect(broker.url) as second:
            workers = [Rates(first), Rates(second)]
            while len(spans) < 14:
                for rates in workers:
                    asked = time.monotonic()
                    wait_s = await rates.take(rate, "rates", name)
                    if not wait_s:
                        spans.append((asked, time.monotonic()))
                    assert wait_s == 0 or len(spans) >= 4, "the first four have not to wait"
        for place, (asked, _) in enumerate(spans[:-4]):
            assert spans[place + 4][1] - asked >= PER_S - FINE_S

    run(main())


def test_no_more_tasks_begin_than_the_rate_and_all_do(work: WorkQueue) -> None:
    began: SimpleQueue[float] = SimpleQueue()

    @work.task(rate=Rate(4, per_s=PER_S, key="customer"))
    def mail(customer: str) -> None:
        began.put(time.monotonic())

    start_s = time.monotonic()
    with working(work), working(work):
        work.send_many([mail.call("a") for _ in range(14)])
        times = [began.get(timeout=WITHIN_S) for _ in range(14)]
    assert_slow_enough(start_s, times, 4, PER_S)


def test_what_comes_too_fast_is_not_charged_and_other_keys_do_not_wait_for_it(work: WorkQueue) -> None:
    began: SimpleQueue[tuple[str, Message]] = SimpleQueue()

    @work.task(rate=Rate(1, per_s=4.0, key="customer"))
    def mail(customer: str) -> None:
        message = current_message()
        assert message is not None
        began.put((customer, message))

    with working(work, threads=1):
        sent = work.send_many([mail.call("a"), mail.call("a"), mail.call("a")])
        work.send_many([mail.call(f"c{number}") for number in range(10)])
        found = [began.get(timeout=WITHIN_S) for _ in range(13)]
    others = [place for place, (key, _) in enumerate(found) if key != "a"]
    assert max(others) < 12, "the last of what is too fast comes last"
    mine = [message for key, message in found if key == "a"]
    assert {message.id for message in mine} == {one.id for one in sent}
    assert {(message.attempt, message.crashes) for message in mine} == {(1, 0)}


def test_each_attempt_counts(work: WorkQueue) -> None:
    began: SimpleQueue[float] = SimpleQueue()

    @work.task(rate=Rate(1, per_s=PER_S), retry=Retries(attempts=3, first_s=0))
    def fail() -> None:
        began.put(time.monotonic())
        raise ValueError

    start_s = time.monotonic()
    with working(work):
        fail.send()
        times = [began.get(timeout=WITHIN_S) for _ in range(3)]
    assert_slow_enough(start_s, times, 1, PER_S)


def test_a_rate_survives_the_workers_that_used_it_up(work: WorkQueue) -> None:
    began: SimpleQueue[float] = SimpleQueue()
    let_go = threading.Event()

    @work.task(rate=Rate(2, per_s=2.0))
    def mail() -> None:
        began.put(time.monotonic())
        let_go.wait(WITHIN_S)

    let_go.set()
    start_s = time.monotonic()
    mail.send()
    mail.send()
    with working(work):
        times = [began.get(timeout=WITHIN_S) for _ in range(2)]
    mail.send()
    with working(work):
        times.append(began.get(timeout=WITHIN_S))
    assert_slow_enough(start_s, times, 2, 2.0)


@pytest.mark.parametrize(("most", "per_s"), [(0, 1.0), (1, 0.0), (1, -1.0), (1, float("inf")), (1, 1e12)])
def test_a_rate_that_cannot_be_is_refused(most: int, per_s: float) -> None:
    with pytest.raises(TaskError):
        Rate(most, per_s=per_s)
