"""The harness on a broker that runs already, Leveret and RabbitMQ: the same tests, on real time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from unittest import SkipTest

import pytest

from brokers import Broker
from leveret.errors import TaskCancelled
from leveret.tasks import Retries, WorkQueue, chain, current_message, group
from leveret.testing.foreign import LATE_MS, NAME
from leveret.testing.harness import Harness, harness


@pytest.fixture
def leveret_app(name: str) -> WorkQueue:
    return WorkQueue(default_queue=f"foreign.{name}", retry=Retries(3, first_s=0))


@pytest.fixture
def work_queue(leveret_app: WorkQueue, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setenv(NAME, broker.url)
    with harness(leveret_app) as one:
        yield one


def test_tasks_run_and_send_others(leveret_app: WorkQueue, work_queue: Harness) -> None:
    done: list[int] = []

    @leveret_app.task
    def count_down(number: int) -> None:
        done.append(number)
        if number:
            count_down.send(number - 1)

    count_down.send(5)
    assert work_queue.assert_enqueued(count_down, 5).queue == leveret_app.default_queue
    work_queue.drain()
    assert done == [5, 4, 3, 2, 1, 0]
    assert work_queue.enqueued() == []


def test_failures_are_raised_or_take_their_course(leveret_app: WorkQueue, work_queue: Harness) -> None:
    @leveret_app.task
    def fail() -> None:
        raise ValueError("no good")

    fail.send()
    with pytest.raises(ValueError, match="no good"):
        work_queue.drain()
    runs = work_queue.drain(raises=False)
    assert [run.attempt for run in runs] == [2, 3]


def test_results_come_and_what_is_cancelled_does_not_run(leveret_app: WorkQueue, work_queue: Harness) -> None:
    @leveret_app.task(result=True, cancellable=True)
    def double(number: int) -> int:
        return 2 * number

    sent, cancelled = double.send(2), double.send(3)
    cancelled.cancel()
    runs = work_queue.drain()
    assert sent.result() == 4
    with pytest.raises(TaskCancelled):
        cancelled.result()
    assert sorted(type(run.outcome).__name__ for run in runs) == ["Cancelled", "Done"]


def test_workers_die(leveret_app: WorkQueue, work_queue: Harness) -> None:
    seen: list[bool] = []

    @leveret_app.task
    def charge() -> None:
        message = current_message()
        assert message is not None
        seen.append(message.redelivered)

    charge.send()
    work_queue.kill_during(charge)
    work_queue.drain()
    assert seen == [False, True]


def test_short_delays_are_waited_for_and_long_ones_skip_the_test(leveret_app: WorkQueue, work_queue: Harness) -> None:
    @leveret_app.task
    def note() -> None: ...

    note.options(delay=timedelta(days=1)).send()  # first, for it has the whole ladder declared, which takes its time
    note.options(delay=2).send()
    assert [one.due > timedelta() for one in work_queue.enqueued()] == [True, True]
    begun_s = time.monotonic()
    assert len(work_queue.drain(until=2)) == 1
    assert time.monotonic() - begun_s < 2 + LATE_MS / 1000 + 5
    with pytest.raises(SkipTest, match="no virtual clock"):
        work_queue.travel(timedelta(days=1))


def test_the_next_test_begins_with_empty_queues(
    leveret_app: WorkQueue, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, broker.url)

    @leveret_app.task
    def note() -> None: ...

    for _ in range(2):
        with harness(leveret_app) as one:
            assert one.enqueued() == []
            note.send()
            note.options(delay=timedelta(days=1)).send()


def test_workflows_run_to_their_end(leveret_app: WorkQueue, work_queue: Harness) -> None:
    @leveret_app.task
    def add(a: int, b: int) -> int:
        return a + b

    @leveret_app.task
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    sent = chain(add.call(1, 2), group([add.partial(1), add.partial(2)]), total.partial()).send()
    work_queue.drain()
    assert sent.result() == 9


def test_tenants_tasks_are_found_run_and_emptied(leveret_app: WorkQueue, work_queue: Harness) -> None:
    done: list[str] = []

    @leveret_app.task(fair="customer")
    def mail(customer: str) -> None:
        done.append(customer)

    leveret_app.send_many([mail.call("a") for _ in range(3)])
    assert [one.args for one in work_queue.enqueued(mail)] == [("a",)] * 3
    work_queue.drain()
    assert done == ["a"] * 3
    mail.send("b")
    work_queue.place.empty([leveret_app.default_queue])
    assert work_queue.enqueued() == []


def test_schedules_are_served_by_the_real_clock(leveret_app: WorkQueue, work_queue: Harness) -> None:
    leveret_app.schedule(every=1)(leveret_app.task(name="tidy")(lambda: None))
    runs = work_queue.drain(until=2)
    assert len(runs) == len({run.id for run in runs}) >= 2
    with pytest.raises(SkipTest, match="no virtual clock"):
        work_queue.drain(until=3600)
