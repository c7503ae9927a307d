"""Tasks that have limits, or tenants, in the harness: they run, wait, and are found as others are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from leveret.tasks import Concurrency, Rate, Unique, WorkQueue
from leveret.testing.harness import Harness


@pytest.fixture
def work(leveret_app: WorkQueue, work_queue: Harness) -> WorkQueue:
    return leveret_app


def test_tenants_take_turns(work: WorkQueue, work_queue: Harness) -> None:
    done: list[str] = []

    @work.task(fair="customer")
    def mail(customer: str) -> None:
        done.append(customer)

    work.send_many([mail.call("a") for _ in range(5)])
    work.send_many([mail.call("b") for _ in range(2)])
    assert len(work_queue.enqueued(mail)) == 7
    assert work_queue.assert_enqueued(mail, "b").queue == work.default_queue
    work_queue.drain()
    assert sorted(done[:4]) == ["a", "a", "b", "b"] and len(done) == 7
    assert work_queue.enqueued() == []


def test_a_worker_that_dies_with_a_tenants_task_is_followed_by_another(work: WorkQueue, work_queue: Harness) -> None:
    done: list[str] = []

    @work.task(fair="customer")
    def mail(customer: str) -> None:
        done.append(customer)

    mail.send("a")
    work_queue.kill_during(mail)
    runs = work_queue.drain()
    assert done == ["a", "a"]
    assert [run.outcome is None for run in runs] == [True, False]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_limit_of_concurrency_holds_and_all_run(work: WorkQueue, work_queue: Harness, threads: int) -> None:
    running, most, done = [0], [0], [0]

    @work.task(concurrency=Concurrency(1, key="customer"))
    async def mail(customer: str) -> None:
        import asyncio

        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0)
        running[0] -= 1
        done[0] += 1

    work.send_many([mail.call("a") for _ in range(20)])
    work_queue.drain(threads=threads)
    assert (most, done) == ([1], [20])


def test_a_rate_goes_by_the_brokers_clock(work: WorkQueue, work_queue: Harness) -> None:
    began: list[float] = []

    @work.task(rate=Rate(2, per_s=60))
    def mail() -> None:
        began.append(work_queue.now.timestamp())

    work.send_many([mail.call() for _ in range(6)])
    work_queue.drain()
    assert len(began) == 2
    assert len(work_queue.enqueued(mail)) == 4
    work_queue.drain(until=timedelta(minutes=5))
    assert len(began) == 6
    assert min(later - earlier for earlier, later in zip(began, began[2:], strict=False)) >= 60
    assert began[-1] - began[0] < 140, "it is made full use of"


def test_what_is_unique_can_be_sent_again_after_its_time(work: WorkQueue, work_queue: Harness) -> None:
    @work.task(unique=Unique("customer", for_s=timedelta(hours=1)))
    def report(customer: str) -> None: ...

    assert not report.send("a").duplicate
    assert report.send("a").duplicate
    work_queue.drain()
    work_queue.travel(timedelta(minutes=59))
    assert report.send("a").duplicate
    work_queue.travel(timedelta(minutes=2))
    assert not report.send("a").duplicate


def test_what_waits_in_a_lane_for_days_is_not_lost(work: WorkQueue, work_queue: Harness) -> None:
    done: list[str] = []

    @work.task(fair="customer")
    def mail(customer: str) -> None:
        done.append(customer)

    mail.send("a")
    mail.send("a")
    work_queue.travel(timedelta(days=3))
    mail.send("a")
    work_queue.drain()
    assert done == ["a"] * 3


def test_inline_knows_no_limits(work: WorkQueue, work_queue: Harness) -> None:
    done: list[str] = []

    @work.task(
        fair="customer",
        rate=Rate(1, per_s=60),
        concurrency=Concurrency(1),
        unique=Unique("customer", until_done=True),
    )
    def mail(customer: str) -> None:
        done.append(customer)

    with work_queue.inline():
        mail.send("a")
        mail.send("a")
    assert done == ["a", "a"]
