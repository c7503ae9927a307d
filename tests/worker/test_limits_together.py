"""Limits and turns together with what else can be said of a task: workflows, times, retries, cancelling, schedules, results."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret import chain, group
from leveret.errors import TaskCancelled, TaskError, TaskExpired
from leveret.tasks import (
    Concurrency,
    Message,
    Middleware,
    Outcome,
    Outgoing,
    Rate,
    Retries,
    Sent,
    Unique,
    WorkQueue,
    current_message,
)
from leveret.testing.harness import Harness, harness
from worker.support import WITHIN_S, declare, working


class Ended(Middleware):
    """What became of each message, and a mark on each that is sent."""

    def __init__(self) -> None:
        self.outcomes: SimpleQueue[tuple[str, str]] = SimpleQueue()

    def send(self, outgoing: Outgoing) -> None:
        outgoing.headers["x-mark"] = "seen"

    def ended(self, message: Message, outcome: Outcome) -> None:
        self.outcomes.put((message.id, type(outcome).__name__))


class Peak:
    """How many of a key run at the same time, at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def run(self, key: str) -> str:
        with self._lock:
            self._now[key] += 1
            self.most[key] = max(self.most[key], self._now[key])
        time.sleep(0.005)  # the work
        with self._lock:
            self._now[key] -= 1
        return key


@pytest.fixture
def queue(name: str) -> str:
    return f"together.{name}"


@pytest.fixture
def own(queue: str) -> str:
    """A key that no other test has, nor another run: locks and rates go by it alone."""
    return f"{queue}-{os.getpid()}"


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
def work(broker: Broker, queue: str, ended: Ended, tmp_path: Path) -> WorkQueue:
    return WorkQueue(
        broker.url,
        name=queue,
        default_queue=queue,
        retry=Retries(1),
        results_store=tmp_path / "results.sqlite",
        middleware=[ended],
    )


@pytest.fixture
def drained() -> Iterator[tuple[WorkQueue, Harness]]:
    work = WorkQueue("amqp://nobody@nowhere.invalid", retry=Retries(1))
    with harness(work) as one:
        yield work, one


def free_again(send: object, key: str) -> Sent[None]:
    """What was sent, once that is possible."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        sent: Sent[None] = send(key)  # type: ignore[operator]
        if not sent.duplicate:
            return sent
        time.sleep(0.01)
    raise AssertionError("the key is never free again")


# ---- workflows


def test_in_a_workflow_places_are_those_of_each_key(work: WorkQueue) -> None:
    """Each waits until the other key's has begun: with one key for all, the second would never begin."""
    both = threading.Barrier(2)

    @work.task
    def customer(name: str) -> str:
        return name

    @work.task(concurrency=Concurrency(1, key="customer"))
    def mail(customer: str) -> str:
        both.wait(WITHIN_S)
        return customer

    with working(work):
        sent = group([chain(customer.call(name), mail.partial()) for name in ("ann", "bob")]).send()
        assert sent.result(WITHIN_S) == ["ann", "bob"]


def test_in_a_workflow_never_more_of_a_key_run_than_its_limit(work: WorkQueue) -> None:
    peak = Peak()

    @work.task
    def customer(number: int) -> str:
        return f"c{number % 2}"

    @work.task(concurrency=Concurrency(1, key=lambda customer: [customer]))
    def mail(customer: str) -> str:
        return peak.run(customer)

    with working(work), working(work):
        calls = [chain(customer.call(number), mail.partial()) for number in range(20)]
        assert group(calls).send().result(WITHIN_S) == [f"c{number % 2}" for number in range(20)]
        for number in range(4):
            mail.send(f"c{number % 2}")
        assert group([mail.call("c1"), mail.call("c1")]).send().result(WITHIN_S) == ["c1", "c1"]
    assert dict(peak.most) == {"c0": 1, "c1": 1}


def test_in_a_workflow_rates_are_those_of_each_key(work: WorkQueue, own: str) -> None:
    """One an hour: of two with one key the second would not be done."""

    @work.task(rate=Rate(1, per_s=3600, key="customer", name=own))
    def mail(customer: str) -> str:
        return customer

    with working(work):
        assert group([mail.call("ann"), mail.call("bob")]).send().result(WITHIN_S) == ["ann", "bob"]


def test_tasks_of_a_workflow_wait_for_their_turn(work: WorkQueue) -> None:
    """A worker with one slot: a group of one tenant is in the queue before another's task, and does not keep it waiting."""
    order: list[str] = []

    @work.task(fair="customer")
    def mail(customer: str) -> str:
        order.append(customer)
        assert current_message().headers["x-leveret-fair-key"] == customer
        return customer

    sent = group([mail.call("big") for _ in range(20)]).send()
    mail.send("small")
    with working(work, threads=1):
        assert sent.result(WITHIN_S) == ["big"] * 20
    assert order.index("small") < 10, order


def test_a_unique_task_stands_in_no_workflow(work: WorkQueue) -> None:
    @work.task(unique=Unique("key", until_done=True))
    def report(key: str) -> str:
        return key

    @work.task
    def first() -> str:
        return "a"

    for workflow in (chain(first.call(), report.partial()), group([report.call("a")])):
        with pytest.raises(TaskError, match="'report' is unique, and stands in no workflow"):
            workflow.send()


def test_a_message_of_another_language_without_a_key_is_known_by_its_arguments(
    work: WorkQueue, queue: str, channel: BlockingChannel, ended: Ended
) -> None:
    both, keys = threading.Barrier(2), SimpleQueue[str]()

    @work.task(concurrency=Concurrency(1, key="customer"), fair="customer")
    def mail(customer: str) -> None:
        both.wait(WITHIN_S)
        keys.put(customer)

    declare(channel, queue)
    for body in (b'{"kwargs": {"customer": 7}}', b'{"args": ["ann"]}', b'{"args": ["bob"]}'):
        channel.basic_publish("", queue, body, pika.BasicProperties(type="mail"))
    with working(work):
        assert {keys.get(timeout=WITHIN_S), keys.get(timeout=WITHIN_S)} == {"ann", "bob"}
        outcomes = [ended.outcomes.get(timeout=WITHIN_S)[1] for _ in range(3)]
    assert Counter(outcomes) == {"Done": 2, "Parked": 1}, "what cannot be read has no key, and is parked"


# ---- times, retries, cancelling


def test_a_unique_task_that_expires_lets_go_of_its_key(work: WorkQueue, own: str) -> None:
    @work.task(unique=Unique("key", until_done=True), expires=timedelta(milliseconds=1), result=True)
    def report(key: str) -> None: ...

    sent = report.send(own)
    assert report.send(own).duplicate
    work.now = lambda: datetime.now(UTC) + timedelta(hours=1)
    with working(work):
        with pytest.raises(TaskExpired):
            sent.result(WITHIN_S)
        assert free_again(report.send, own).id != sent.id


def test_a_unique_task_that_is_cancelled_between_two_attempts_lets_go_of_its_key(
    work: WorkQueue, own: str, ended: Ended
) -> None:
    @work.task(
        unique=Unique("key", until_done=True),
        retry=Retries(1000, first_s=0.5, max_s=0.5),
        cancellable=True,
        result=True,
    )
    def report(key: str) -> None:
        raise RuntimeError("not now")

    with working(work):
        sent = report.send(own)
        assert ended.outcomes.get(timeout=WITHIN_S) == (sent.id, "Failed")
        assert report.send(own).duplicate
        sent.cancel()
        with pytest.raises(TaskCancelled):
            sent.result(WITHIN_S)
        again = free_again(report.send, own)
        assert again.id != sent.id
        again.cancel()


def test_what_expires_in_a_lane_is_not_run_and_those_behind_it_are(work: WorkQueue) -> None:
    ran: SimpleQueue[int] = SimpleQueue()

    @work.task(fair="customer", result=True)
    def mail(customer: str, number: int) -> None:
        ran.put(number)

    late = mail.options(expires=timedelta(minutes=1)).send("ann", 1)
    mail.send("ann", 2)
    work.now = lambda: datetime.now(UTC) + timedelta(hours=1)
    with working(work, threads=1):
        with pytest.raises(TaskExpired):
            late.result(WITHIN_S)
        assert ran.get(timeout=WITHIN_S) == 2
    assert ran.empty()


def test_what_is_cancelled_while_it_waits_for_a_place_is_told_and_the_place_goes_on(
    work: WorkQueue,
) -> None:
    began, let_go = threading.Semaphore(0), threading.Event()

    @work.task(concurrency=Concurrency(1), result=True, cancellable=True)
    def mail(number: int) -> int:
        began.release()
        assert let_go.wait(WITHIN_S)
        return number

    with working(work):
        first = mail.send(1)
        assert began.acquire(timeout=WITHIN_S)
        second, third = mail.send(2), mail.send(3)
        second.cancel()
        let_go.set()
        with pytest.raises(TaskCancelled):
            second.result(WITHIN_S)
        assert (first.result(WITHIN_S), third.result(WITHIN_S)) == (1, 3)


def test_a_workflow_is_cancelled_while_its_task_waits_for_a_place(work: WorkQueue) -> None:
    began, let_go = threading.Semaphore(0), threading.Event()

    @work.task(concurrency=Concurrency(1, key="customer"))
    def mail(customer: str) -> str:
        began.release()
        assert let_go.wait(WITHIN_S)
        return customer

    with working(work):
        mail.send("ann")
        assert began.acquire(timeout=WITHIN_S)
        waiting = chain(mail.call("ann")).send()
        waiting.cancel()
        let_go.set()
        with pytest.raises(TaskCancelled):
            waiting.result(WITHIN_S)


def test_a_workflow_that_is_cancelled_tells_its_task_that_runs(work: WorkQueue) -> None:
    began = threading.Event()

    @work.task
    async def forever() -> None:
        began.set()
        await asyncio.Event().wait()

    with working(work):
        sent = chain(forever.call(), forever.call()).send()
        assert began.wait(WITHIN_S)
        sent.cancel()
        with pytest.raises(TaskCancelled):
            sent.result(WITHIN_S)


# ---- versions, priorities, schedules, results, hooks


def test_the_key_of_an_older_version_is_that_of_the_call_which_stands_for_it(
    work: WorkQueue, queue: str, channel: BlockingChannel
) -> None:
    ran: SimpleQueue[tuple[str, object]] = SimpleQueue()

    @work.task(fair="customer", version=2)
    def mail(text: str, customer: str) -> None:
        ran.put((customer, current_message().headers["x-leveret-fair-key"]))

    @mail.accepts(1)
    def mail_1(number: int) -> object:
        return mail.call("hello", f"c{number}")

    declare(channel, queue)
    channel.basic_publish("", queue, b'{"args": [7]}', pika.BasicProperties(type="mail", headers={"x-other": 1}))
    mail.send("hello", "ann")
    with working(work):
        assert {ran.get(timeout=WITHIN_S), ran.get(timeout=WITHIN_S)} == {("c7", "c7"), ("ann", "ann")}


def test_tenants_share_a_queue_that_knows_priorities(work: WorkQueue, queue: str) -> None:
    ran: SimpleQueue[str] = SimpleQueue()
    work.queue(queue, priorities=5)

    @work.task(fair="customer", priority=3)
    def mail(customer: str) -> None:
        ran.put(customer)

    @work.task(priority=5)
    def urgent() -> None:
        ran.put("urgent")

    for customer in ("ann", "ann", "bob"):
        mail.send(customer)
    urgent.send()
    with working(work, threads=1):
        assert Counter(ran.get(timeout=WITHIN_S) for _ in range(4)) == {"ann": 2, "bob": 1, "urgent": 1}


def test_a_scheduled_unique_task_is_not_sent_while_another_one_has_its_key(work: WorkQueue, own: str) -> None:
    """The first one runs on while others become due, and is followed by one that is not older than its end."""
    began: SimpleQueue[str] = SimpleQueue()
    ticks, let_go = threading.Semaphore(0), threading.Event()

    @work.schedule(every=0.1, args=[own], catch_up="all")
    @work.task(unique=Unique("key", until_done=True), concurrency=Concurrency(5, key="key"))
    def report(key: str) -> None:
        began.put(current_message().id)
        assert let_go.wait(WITHIN_S)

    @work.schedule(every=0.1)
    @work.task
    def tick() -> None:
        ticks.release()

    with working(work):
        first = began.get(timeout=WITHIN_S)
        for _ in range(5):
            assert ticks.acquire(timeout=WITHIN_S)
        assert began.empty()
        again = report.send(own)
        assert (again.duplicate, again.id) == (True, first)
        let_go.set()
        assert began.get(timeout=WITHIN_S) != first


def test_scheduled_unique_tasks_in_the_harness(drained: tuple[WorkQueue, Harness]) -> None:
    work, one = drained
    ran: list[str] = []

    @work.schedule(every=60)
    @work.task(unique=Unique(for_s=150), fair=lambda: "one")
    def report() -> None:
        ran.append(current_message().id)

    one.drain(until=60 * 6)
    assert len(ran) == 2, "the next one that is due behind 150 s is the third"


def test_workflows_of_limited_tasks_are_drained_and_run_inline(drained: tuple[WorkQueue, Harness]) -> None:
    work, one = drained
    keys: list[object] = []

    @work.task
    def customer() -> str:
        return "ann"

    @work.task(concurrency=Concurrency(1, key="customer"), fair="customer")
    def mail(customer: str) -> str:
        keys.append(current_message().headers.get("x-leveret-fair-key"))
        return customer

    sent = chain(customer.call(), group([mail.partial(), mail.call("bob")])).send()
    one.drain()
    assert sent.result(WITHIN_S) == ["ann", "bob"]
    assert set(keys) == {"ann", "bob"}
    assert one.enqueued() == []
    with one.inline():
        assert chain(customer.call(), mail.partial()).send().result(WITHIN_S) == "ann"


def test_many_tasks_of_tenants_are_sent_by_a_coroutine_and_their_results_kept(work: WorkQueue) -> None:
    marks: SimpleQueue[object] = SimpleQueue()

    @work.task(fair="customer", concurrency=Concurrency(1, key="customer"), result=True, keep_result=3600)
    def mail(customer: str, number: int) -> str:
        marks.put(current_message().headers.get("x-mark"))
        return f"{customer} {number}"

    async def send() -> list[Sent[str]]:
        return await work.send_many_async([mail.call(f"c{number % 3}", number) for number in range(12)])

    sent = asyncio.run(send())
    with working(work):
        expected = [f"c{number % 3} {number}" for number in range(12)]
        assert [one.result(WITHIN_S) for one in sent] == expected
        assert [work.sent(one.id, mail).result(WITHIN_S) for one in sent] == expected
    assert {marks.get(timeout=WITHIN_S) for _ in sent} == {"seen"}, "hooks see what goes into lanes"
    kept = work.result_of(sent[0].id)
    assert kept is not None and msgspec.json.decode(kept.answer.value or b"") == "c0 0"
