"""Tenants take turns whoever sent how much, and nothing is lost or left lying, whoever dies at which step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from alarming import ALARMING, AlarmingBroker
from brokers import Broker
from leveret.errors import ConnectionLost, LeveretError
from leveret.tasks import Message, Retries, WorkQueue, current_message, lane
from leveret.tasks.lane import FAIR, Lane
from leveret.tasks.lanes import Lanes
from leveret.tasks.outbox import Outbox, Parcel
from leveret.worker.waiting import Seen
from worker.support import WITHIN_S, Program, declare_filled, until_ready, working

Ran = SimpleQueue[str]


@pytest.fixture
def ran() -> Ran:
    return SimpleQueue()


@pytest.fixture
def queue(name: str) -> str:
    return f"tenants.{name}"


@pytest.fixture
def work(broker: Broker, queue: str) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=queue, retry=Retries(1))


def got(ran: Ran, number: int) -> list[str]:
    return [ran.get(timeout=WITHIN_S) for _ in range(number)]


def nothing_waits(channel: BlockingChannel, queue: str, *keys: str) -> None:
    """Neither tickets nor tasks, once the last tickets have found their lanes empty."""
    until = time.monotonic() + WITHIN_S
    names = [queue, *(Lane.of(queue, FAIR, key).name for key in keys)]
    while any(channel.queue_declare(name, passive=True).method.message_count for name in names):
        assert time.monotonic() < until, "something is left"
        channel.connection.sleep(0.02)


def test_ten_tasks_do_not_wait_behind_two_thousand_of_another(work: WorkQueue, ran: Ran) -> None:
    @work.task(fair="customer")
    def mail(customer: str, number: int) -> None:
        ran.put(customer)

    work.send_many([mail.call("big", number) for number in range(2000)])
    work.send_many([mail.call("small", number) for number in range(10)])
    order: list[str] = []
    with working(work, threads=2), working(work, threads=2):
        while order.count("small") < 10:
            order += got(ran, 1)
    assert order.count("big") < 100


def test_tenants_take_exact_turns(work: WorkQueue, ran: Ran) -> None:
    @work.task(fair="customer")
    def mail(customer: str) -> None:
        ran.put(customer)

    for customer, number in (("a", 50), ("b", 5), ("c", 20)):
        work.send_many([mail.call(customer) for _ in range(number)])
    with working(work, threads=1):
        order = got(ran, 75)
    assert Counter(order[:15]) == {"a": 5, "b": 5, "c": 5}
    assert Counter(order[15:45]) == {"a": 15, "c": 15}


def test_of_one_tenant_they_come_in_their_order(work: WorkQueue, ran: Ran) -> None:
    @work.task(fair="customer")
    def mail(customer: str, number: int) -> None:
        ran.put(str(number))

    work.send_many([mail.call("a", number) for number in range(50)])
    with working(work, threads=1):
        assert got(ran, 50) == [str(number) for number in range(50)]


def test_one_by_one_and_many_at_once_leave_nothing_behind(
    work: WorkQueue, ran: Ran, channel: BlockingChannel, queue: str
) -> None:
    @work.task(fair="customer")
    def mail(customer: str) -> None:
        ran.put(customer)

    with working(work):
        senders = [
            threading.Thread(target=lambda who=who: [mail.send(who) for _ in range(40)]) for who in ("a", "b", "a")
        ]
        for sender in senders:
            sender.start()
        assert Counter(got(ran, 120)) == {"a": 80, "b": 40}
        for sender in senders:
            sender.join(WITHIN_S)
        nothing_waits(channel, queue, "a", "b")
    assert ran.empty()


def test_a_fair_task_is_retried_delayed_and_answered_as_any_other(work: WorkQueue) -> None:
    seen: SimpleQueue[Message] = SimpleQueue()

    @work.task(fair="customer", retry=Retries(attempts=2, first_s=0), result=True)
    def mail(customer: str) -> str:
        message = current_message()
        assert message is not None
        seen.put(message)
        if message.attempt == 1:
            raise ValueError
        return customer

    with working(work):
        assert mail.send("a").result(WITHIN_S) == "a"
        assert mail.options(delay=0.1).send("b").result(WITHIN_S) == "b"
    messages = [seen.get() for _ in range(4)]
    assert [(message.attempt, message.queue, message.crashes) for message in messages] == [
        (attempt, work.default_queue, 0) for attempt in (1, 2, 1, 2)
    ]


def test_a_fair_task_that_waits_can_be_cancelled(work: WorkQueue, ran: Ran) -> None:
    @work.task(fair="customer", cancellable=True)
    def mail(customer: str, number: int) -> None:
        ran.put(str(number))

    sent = [mail.send("a", number) for number in range(3)]
    sent[1].cancel()
    with working(work):
        assert sorted(got(ran, 2)) == ["0", "2"]


def test_a_ticket_that_names_another_queue_than_a_lane_is_no_ticket(
    work: WorkQueue, channel: BlockingChannel, queue: str
) -> None:
    @work.task(fair="customer")
    def mail(customer: str) -> None: ...

    channel.queue_declare(f"{queue}.private", durable=True)
    channel.basic_publish("", f"{queue}.private", b"{}")
    with working(work):
        mail.send("a")
        headers = {"x-leveret-ticket": f"{queue}.private", "x-leveret-lock": f"{queue}.private", "x-leveret-lock-ms": 9}
        channel.basic_publish("", queue, b"", pika.BasicProperties(type="mail", headers=headers))
        declare_filled(channel, f"{queue}.dead")
    _, properties, _ = channel.basic_get(f"{queue}.dead", auto_ack=True)
    assert properties.headers["x-leveret-reason"] == "arguments"
    assert channel.queue_declare(f"{queue}.private", passive=True).method.message_count == 1


# ---- who dies


@pytest.mark.parametrize("step", ["before the message", "before the bell", "before the ticket"])
def test_after_a_sender_that_died_at_any_step_the_next_task_calls_all(
    broker: Broker,
    work: WorkQueue,
    ran: Ran,
    queue: str,
    channel: BlockingChannel,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    monkeypatch.setattr(lane, "RING_MS", 500)

    @work.task(fair="customer")
    def mail(customer: str, number: int) -> None:
        ran.put(str(number))

    put, ring = Outbox.put, Lanes._ring

    async def put_or_die(outbox: Outbox, parcel: Parcel, timeout_s: float) -> None:
        if (parcel.lane is None) is (step == "before the ticket"):
            raise ConnectionLost("the process is dead")
        await put(outbox, parcel, timeout_s)

    async def ring_or_die(*_: object) -> bool:
        raise ConnectionLost("the process is dead")

    with monkeypatch.context() as dying:
        if step == "before the bell":
            dying.setattr(Lanes, "_ring", ring_or_die)
        else:
            dying.setattr(Outbox, "put", put_or_die)
        with pytest.raises(LeveretError):
            mail.send("a", 1)
    assert ring is Lanes._ring
    work.close()
    mail.send("a", 2)
    with working(work):
        expected = {"2"} if step == "before the message" else {"1", "2"}
        assert set(got(ran, len(expected))) == expected
        nothing_waits(channel, queue, "a")


def test_a_bell_that_nobody_followed_becomes_a_ticket(
    work: WorkQueue, ran: Ran, channel: BlockingChannel, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no worker has declared the queue into which it falls."""
    monkeypatch.setattr(lane, "RING_MS", 300)

    @work.task(fair="customer")
    def mail(customer: str) -> None:
        ran.put(customer)

    put = Outbox.put

    async def put_or_die(outbox: Outbox, parcel: Parcel, timeout_s: float) -> None:
        if parcel.lane is None:
            raise ConnectionLost("the process is dead")
        await put(outbox, parcel, timeout_s)

    with monkeypatch.context() as dying:
        dying.setattr(Outbox, "put", put_or_die)
        with pytest.raises(ConnectionLost):
            mail.send("a")
    until_ready(channel, queue, 1)
    with working(work):
        assert got(ran, 1) == ["a"]


def test_what_waits_too_long_in_a_lane_falls_into_the_queue_and_still_has_its_turn(
    work: WorkQueue, ran: Ran, channel: BlockingChannel, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "WAIT_MS", 300)

    @work.task(fair="customer")
    def mail(customer: str, number: int) -> None:
        ran.put(str(number))

    work.send_many([mail.call("a", number) for number in range(20)])
    until = time.monotonic() + WITHIN_S
    while channel.queue_declare(queue, passive=True).method.message_count < 21:
        assert time.monotonic() < until
        channel.connection.sleep(0.02)
    monkeypatch.setattr(lane, "WAIT_MS", 3600_000)
    channel.queue_delete(Lane.of(queue, FAIR, "a").name)  # declared with another time
    with working(work):
        assert Counter(got(ran, 20)) == {str(number): 1 for number in range(20)}
        nothing_waits(channel, queue, "a")


def test_of_two_tickets_one_goes_if_both_come_by_again() -> None:
    seen = Seen()
    assert not seen.superfluous("lane", "b")
    assert not seen.superfluous("lane", "a"), "the other may have gone meanwhile"
    assert not seen.superfluous("other lane", "b")
    assert seen.superfluous("lane", "b"), "a was there while b was on its way"
    assert not seen.superfluous("lane", "a")
    assert not seen.superfluous("lane", "b"), "as if it were new"
    assert not seen.superfluous("lane", "c")
    seen.empty("lane")
    assert not seen.superfluous("lane", "c")


def test_many_tickets_of_one_tenant_become_one(work: WorkQueue, ran: Ran, queue: str) -> None:
    """Else whoever has more of them has more turns."""

    @work.task(fair="customer")
    def mail(customer: str) -> None:
        ran.put(customer)

    for customer in ("a", "b"):
        work.send_many([mail.call(customer) for _ in range(100)])
    extra = Lane.of(queue, FAIR, "a", task="mail")
    work._sender.send_many([Parcel(queue, b"", extra.ticket()) for _ in range(10)], WITHIN_S)
    with working(work, threads=1):
        order = got(ran, 200)
    assert Counter(order[60:120])["b"] >= 25


@pytest.fixture
def alarming(broker_kind: type[Broker]) -> Iterator[AlarmingBroker]:
    one = ALARMING[broker_kind.kind](management=True)
    try:
        one.start()
        yield one
    finally:
        one.remove()


def test_a_broker_that_takes_no_messages_is_worked_empty_all_the_same(
    alarming: AlarmingBroker, queue: str, ran: Ran
) -> None:
    """No ticket can go to the end of its queue then, and the alarm would never end."""
    work = WorkQueue(alarming.url, default_queue=queue, retry=Retries(1))

    @work.task(fair="customer")
    def mail(customer: str, number: int) -> None:
        ran.put(str(number))

    work.send_many([mail.call("a", number) for number in range(20)])
    alarming.alarm(disk=True)
    until = time.monotonic() + WITHIN_S
    while not alarming.alarms()[1]:
        assert time.monotonic() < until
        time.sleep(0.05)
    try:
        with working(work):
            assert Counter(got(ran, 20)) == {str(number): 1 for number in range(20)}
            alarming.alarm()
    finally:
        alarming.alarm()


KILLED = """
@work.task(fair="customer")
def mail(customer: str, number: int) -> None:
    tell("ran", customer, number, os.getpid())
"""


def test_workers_that_are_killed_lose_none(
    broker: Broker, queue: str, tmp_path: Path, channel: BlockingChannel
) -> None:
    program = Program(tmp_path, broker.url, queue, KILLED)

    @program.work.task(fair="customer")
    def mail(customer: str, number: int) -> None: ...

    wanted = {(customer, str(number)) for customer in ("a", "b", "c") for number in range(60)}
    ran: set[tuple[str, str]] = set()
    try:
        program.worker(processes=2, threads=2)
        program.work.send_many([mail.call(customer, int(number)) for customer, number in sorted(wanted)])
        kills = 0
        while wanted - ran:
            _, customer, number, pid = program.told.until("ran").split()
            ran.add((customer, number))
            if len(ran) >= 20 * (kills + 1) and kills < 4:
                kills += 1
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    kills -= 1
        assert kills == 4
        nothing_waits(channel, queue, "a", "b", "c")
    finally:
        program.close()
