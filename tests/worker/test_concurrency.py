"""Limits of how many run at once, by key and among all workers: never one too many, at full use, and free again after a crash."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from queue import SimpleQueue

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.tasks import Concurrency, Message, Middleware, Outcome, Rate, Retries, WorkQueue, current_message
from leveret.tasks.lane import CONCURRENCY, Lane
from worker.support import WITHIN_S, Program, working


class Running:
    """Counts the tasks that run, by key, from inside them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.ended: list[str] = []
        self._done = threading.Semaphore(0)

    def __call__(self, key: str, for_s: float = 0.0) -> None:
        with self._lock:
            self._now[key] += 1
            self.most[key] = max(self.most[key], self._now[key])
        time.sleep(for_s)  # the work
        with self._lock:
            self._now[key] -= 1
            self.ended.append(key)
        self._done.release()

    def wait(self, number: int) -> None:
        for _ in range(number):
            assert self._done.acquire(timeout=WITHIN_S), f"only {len(self.ended)} ended"


@pytest.fixture
def running() -> Running:
    return Running()


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=f"concurrency.{name}", retry=Retries(1))


def test_of_one_key_never_more_run_than_its_limit_and_all_run(work: WorkQueue, running: Running) -> None:
    @work.task(concurrency=Concurrency(2, key="customer"))
    def mail(customer: str) -> None:
        running(customer, 0.005)

    work.send_many([mail.call(f"c{number % 3}") for number in range(90)])
    with working(work), working(work), working(work):
        running.wait(90)
    assert Counter(running.ended) == {"c0": 30, "c1": 30, "c2": 30}
    assert max(running.most.values()) <= 2


def test_a_limit_of_one_holds_where_many_workers_ask_at_the_same_time(work: WorkQueue, running: Running) -> None:
    @work.task(concurrency=Concurrency(1))
    def mail() -> None:
        running("", 0.002)

    work.send_many([mail.call() for _ in range(60)])
    with working(work, threads=8), working(work, threads=8), working(work, threads=8):
        running.wait(60)
    assert running.most[""] == 1


def test_other_keys_go_on_while_one_is_at_its_limit(work: WorkQueue, running: Running) -> None:
    let_go = threading.Event()
    began: SimpleQueue[str] = SimpleQueue()

    @work.task(concurrency=Concurrency(1, key="customer"))
    def mail(customer: str) -> None:
        if customer == "slow":
            began.put(customer)
            assert let_go.wait(WITHIN_S)
        running(customer)

    work.send_many([mail.call("slow") for _ in range(30)])
    work.send_many([mail.call(f"c{number}") for number in range(30)])
    with working(work, threads=2):
        began.get(timeout=WITHIN_S)
        running.wait(30)
        assert "slow" not in running.ended, "it holds its one place, and one slot of the worker"
        let_go.set()
        running.wait(30)


def test_an_async_task_and_a_sync_one_share_a_limit_by_its_name(work: WorkQueue, running: Running) -> None:
    shared = Concurrency(1, key="host", name="hosts")

    @work.task(concurrency=shared)
    def fetch(host: str) -> None:
        running(host, 0.005)

    @work.task(concurrency=shared)
    async def push(host: str) -> None:
        running(host, 0.005)

    work.send_many([task.call("h") for _ in range(10) for task in (fetch, push)])
    with working(work), working(work):
        running.wait(20)
    assert running.most["h"] == 1


def test_a_limited_task_that_fails_gives_its_place_back(work: WorkQueue) -> None:
    tried: SimpleQueue[int] = SimpleQueue()

    @work.task(concurrency=Concurrency(1), retry=Retries(attempts=3, first_s=0))
    def fail() -> None:
        message = current_message()
        assert message is not None
        tried.put(message.attempt)
        raise ValueError

    fail.send()
    fail.send()
    with working(work):
        assert sorted(tried.get(timeout=WITHIN_S) for _ in range(6)) == [1, 1, 2, 2, 3, 3]


def test_who_waits_keeps_id_headers_and_attempts(work: WorkQueue, channel: BlockingChannel) -> None:
    let_go, seen = threading.Event(), SimpleQueue[Message]()

    @work.task(concurrency=Concurrency(1, key="customer"), result=True, cancellable=True)
    def mail(customer: str, text: str) -> str:
        message = current_message()
        assert message is not None
        seen.put(message)
        assert let_go.wait(WITHIN_S)
        return text

    sent = [mail.send("a.b", text) for text in ("one", "two", "three")]
    lane = Lane.of(work.default_queue, CONCURRENCY, "mail", "a.b").name
    with working(work):
        seen.get(timeout=WITHIN_S)
        wait_for_messages(channel, lane, 2)
        let_go.set()
        assert sorted(one.result(WITHIN_S) for one in sent) == ["one", "three", "two"]
        others = [seen.get(timeout=WITHIN_S) for _ in range(2)]
    for message in others:
        assert message.id in {one.id for one in sent}
        assert (message.attempt, message.crashes, message.deliveries) == (1, 0, 0)
        assert message.headers["x-leveret-concurrency-key"] == "a.b"
        assert message.properties.reply_to
        assert message.queue == work.default_queue


def wait_for_messages(channel: BlockingChannel, queue: str, number: int) -> None:
    """Until so many are ready in it."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        other = channel.connection.channel()
        try:
            if other.queue_declare(queue, passive=True).method.message_count >= number:
                return
        except pika.exceptions.ChannelClosedByBroker:
            pass
        finally:
            if other.is_open:
                other.close()
        channel.connection.sleep(0.02)
    raise AssertionError(f"{number} messages never were in {queue}")


def test_what_waits_for_a_place_can_be_cancelled(work: WorkQueue, channel: BlockingChannel) -> None:
    class Ended(Middleware):
        def after(self, message: Message, outcome: Outcome) -> None:
            ended.put(message.id)

    ended: SimpleQueue[str] = SimpleQueue()
    let_go, began = threading.Event(), threading.Event()
    work.middleware = (Ended(),)

    @work.task(concurrency=Concurrency(1), cancellable=True)
    def mail() -> None:
        began.set()
        assert let_go.wait(WITHIN_S)

    first = mail.send()
    with working(work):
        assert began.wait(WITHIN_S)
        second, third = mail.send(), mail.send()
        wait_for_messages(channel, Lane.of(work.default_queue, CONCURRENCY, "mail", "").name, 2)
        second.cancel()
        let_go.set()
        assert {ended.get(timeout=WITHIN_S) for _ in range(2)} == {first.id, third.id}


def test_without_the_header_a_message_has_the_empty_key(
    work: WorkQueue, channel: BlockingChannel, running: Running
) -> None:
    @work.task(concurrency=Concurrency(1, key="customer"))
    def mail(customer: str) -> None:
        running("", 0.005)

    with working(work):
        mail.send("somebody")
        running.wait(1)
        for _ in range(10):
            properties = pika.BasicProperties(type="mail", message_id=os.urandom(8).hex(), delivery_mode=2)
            channel.basic_publish("", work.default_queue, b'{"args": ["x"]}', properties)
        running.wait(10)
    assert running.most[""] == 1


@pytest.mark.parametrize("key", ["ä ö\u2028\0", "x" * 10_000, "a.b/c#*%", "leveret.limit.", ""])
def test_any_text_can_be_a_key(work: WorkQueue, running: Running, key: str) -> None:
    @work.task(concurrency=Concurrency(1, key="customer"), rate=Rate(100, key="customer"), fair="customer")
    def mail(customer: str) -> None:
        running(customer[:20], 0.002)

    work.send_many([mail.call(key) for _ in range(5)])
    with working(work), working(work):
        running.wait(5)
    assert running.most[key[:20]] == 1


KILLED = """
from leveret.tasks import Concurrency

@work.task(concurrency=Concurrency(2, key="customer"))
def mail(customer: str, name: str) -> None:
    tell("started", name, os.getpid(), current_message().redelivered)
    wait_at_gate()
    tell("done", name)
"""


def test_the_places_of_a_worker_that_was_killed_are_free_at_once(broker: Broker, name: str, tmp_path: Path) -> None:
    program = Program(tmp_path, broker.url, f"concurrency.{name}", KILLED)

    @program.work.task(concurrency=Concurrency(2, key="customer"))
    def mail(customer: str, name: str) -> None: ...

    try:
        program.worker(threads=2, processes=1)
        for number in range(6):
            mail.send("a", f"{number}")
        first = {program.started("")[0] for _ in range(2)}
        assert len(first) == 1
        program.worker(threads=4)
        os.kill(first.pop(), signal.SIGKILL)
        again = [program.started("") for _ in range(2)]
        assert len(again) == 2
        program.open_gate(12)
        done = {program.told.until("done").split()[1] for _ in range(6)}
        assert done == {f"{number}" for number in range(6)}
    finally:
        program.close()


def test_over_a_broker_that_restarts_all_run_and_the_limit_holds_again(own_broker: Broker, name: str) -> None:
    work = WorkQueue(own_broker.url, default_queue=f"concurrency.{name}", retry=Retries(1))
    after = Running()
    let_go, began = threading.Event(), threading.Semaphore(0)
    ran: SimpleQueue[int] = SimpleQueue()

    @work.task(concurrency=Concurrency(2, key="customer"), fair="customer")
    def mail(customer: str, number: int) -> None:
        if customer == "held":
            began.release()
            assert let_go.wait(2 * WITHIN_S)
            ran.put(number)
        else:
            after(customer, 0.005)

    with working(work), working(work):
        work.send_many([mail.call("held", number) for number in range(6)])
        for _ in range(2):
            assert began.acquire(timeout=WITHIN_S)
        own_broker.restart()
        let_go.set()
        numbers: set[int] = set()
        while len(numbers) < 6:  # those that ran while it restarted run again
            numbers.add(ran.get(timeout=WITHIN_S))
        work.send_many([mail.call("then", number) for number in range(20)])
        after.wait(20)
    assert after.most["then"] <= 2
