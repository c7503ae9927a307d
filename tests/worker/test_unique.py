"""Unique tasks: one of a key for a time, or until it has ended for good; whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue

import pytest

from brokers import Broker
from leveret.errors import TaskError
from leveret.tasks import Retries, Sent, Unique, WorkQueue
from leveret.tasks.outbox import Outbox, Parcel
from worker.support import WITHIN_S, Program, working


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, name=f"unique.{name}", default_queue=f"unique.{name}", retry=Retries(1))


@pytest.fixture
def own(name: str) -> str:
    """A key that no other test has: locks go by task and key alone."""
    return f"{name}-{os.getpid()}"


def free_again(send: object, key: str) -> Sent[None]:
    """What was sent, once that is possible."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        sent: Sent[None] = send(key)  # type: ignore[operator]
        if not sent.duplicate:
            return sent
        time.sleep(0.01)
    raise AssertionError("the key is never free again")


def test_within_the_time_the_second_is_not_sent_and_learns_of_the_first(work: WorkQueue, own: str) -> None:
    ran: SimpleQueue[str] = SimpleQueue()

    @work.task(unique=Unique("key", for_s=timedelta(hours=1)))
    def report(key: str) -> None:
        ran.put(key)

    first, second, other = report.send(own), report.send(own), report.send(f"{own}.other")
    assert (first.duplicate, second.duplicate, other.duplicate) == (False, True, False)
    assert second.id == first.id != other.id
    with working(work):
        assert {ran.get(timeout=WITHIN_S), ran.get(timeout=WITHIN_S)} == {own, f"{own}.other"}
        third = report.send(own)
        assert (third.duplicate, third.id) == (True, first.id), "the time is not over because the task is"
        work.tasks["report"].options(delay=0).send(f"{own}.last")
        assert ran.get(timeout=WITHIN_S) == f"{own}.last"
        assert ran.empty()


def test_after_the_time_it_can_be_sent_again(work: WorkQueue, own: str) -> None:
    @work.task(unique=Unique("key", for_s=2))
    def report(key: str) -> None: ...

    first = report.send(own)
    assert report.send(own).duplicate
    began = time.monotonic()
    assert free_again(report.send, own).id != first.id
    assert time.monotonic() - began < WITHIN_S


def test_until_it_is_done_it_is_not_sent_again(work: WorkQueue, own: str) -> None:
    began, let_go = threading.Event(), threading.Event()

    @work.task(unique=Unique("key", until_done=True))
    def report(key: str) -> None:
        began.set()
        assert let_go.wait(WITHIN_S)

    first = report.send(own)
    assert report.send(own).id == first.id
    with working(work):
        assert began.wait(WITHIN_S)
        assert report.send(own).duplicate, "it runs"
        let_go.set()
        assert free_again(report.send, own).id != first.id


def test_a_retry_keeps_it_and_its_last_failure_gives_it_free(work: WorkQueue, own: str) -> None:
    tries: SimpleQueue[bool] = SimpleQueue()

    @work.task(unique=Unique("key", until_done=True), retry=Retries(attempts=3, first_s=0.1))
    def report(key: str) -> None:
        tries.put(report.send(own).duplicate)
        raise ValueError

    first = report.send(own)
    with working(work):
        assert [tries.get(timeout=WITHIN_S) for _ in range(3)] == [True, True, True]
        assert free_again(report.send, own).id != first.id


def test_a_delayed_one_keeps_it_and_its_cancellation_gives_it_free(work: WorkQueue, own: str) -> None:
    @work.task(unique=Unique("key", until_done=True))
    def report(key: str) -> None:
        raise AssertionError("it was cancelled")

    @work.task
    def other() -> None: ...

    first = report.options(delay=0.3).send(own)
    assert report.send(own).duplicate
    first.cancel()
    with working(work):
        again = free_again(report.options(delay=3600).send, own)
        assert again.id != first.id


def test_many_are_sent_but_for_the_duplicates_among_them(work: WorkQueue, own: str) -> None:
    ran: SimpleQueue[str] = SimpleQueue()

    @work.task(unique=Unique("key", until_done=True), result=True)
    def report(key: str) -> str:
        ran.put(key)
        return key

    sent = work.send_many([report.call(f"{own}{number % 3}") for number in range(9)])
    assert [one.duplicate for one in sent] == [False] * 3 + [True] * 6
    assert [one.id for one in sent[3:6]] == [one.id for one in sent[:3]]
    with pytest.raises(TaskError, match="its sender has the result"):
        sent[4].result()
    with working(work):
        assert [one.result(WITHIN_S) for one in sent[:3]] == [f"{own}{number}" for number in range(3)]
    assert ran.qsize() == 3


def test_what_was_not_sent_for_certain_leaves_no_lock(
    work: WorkQueue, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @work.task(unique=Unique("key", until_done=True))
    def report(key: str) -> None: ...

    async def refuse(outbox: Outbox, parcel: Parcel, timeout_s: float) -> None:
        raise TaskError("there is no way")

    with monkeypatch.context() as broken:
        broken.setattr(Outbox, "put", refuse)
        with pytest.raises(TaskError):
            report.send(own)
    assert not report.send(own).duplicate


def test_without_a_key_there_is_one_for_the_whole_task(work: WorkQueue, own: str) -> None:
    @work.task(unique=Unique(until_done=True), name=own)
    def tidy(number: int) -> None: ...

    assert not tidy.send(1).duplicate
    assert tidy.send(2).duplicate


def test_a_key_can_be_computed_from_all_arguments(work: WorkQueue, own: str) -> None:
    @work.task(unique=Unique(lambda *args, **kwargs: [args, kwargs], for_s=3600), name=own)
    def add(a: int, b: int = 2) -> None: ...

    assert not add.send(1).duplicate
    assert not add.send(1, 3).duplicate
    assert add.send(1, 3).duplicate


def test_what_makes_no_sense_is_refused(work: WorkQueue) -> None:
    for wrong in ({}, {"for_s": 1, "until_done": True}, {"for_s": 0}, {"for_s": 1e10}):
        with pytest.raises(TaskError):
            Unique("key", **wrong)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="no parameter 'key'"):

        @work.task(unique=Unique("key", for_s=1))
        def report(other: str) -> None: ...


KILLED = """
from leveret.tasks import Unique

@work.task(unique=Unique("key", until_done=True))
def report(key: str) -> None:
    tell("started", key, os.getpid(), current_message().redelivered)
    wait_at_gate()
    tell("done", key)
"""


def test_a_worker_that_is_killed_does_not_give_it_free_and_the_one_that_ends_it_does(
    broker: Broker, name: str, own: str, tmp_path: Path
) -> None:
    program = Program(tmp_path, broker.url, f"unique.{name}", KILLED)

    @program.work.task(unique=Unique("key", until_done=True))
    def report(key: str) -> None: ...

    try:
        program.worker(threads=2)
        first = report.send(own)
        pid, _ = program.started(own)
        os.kill(pid, signal.SIGKILL)
        assert report.send(own).id == first.id
        _, redelivered = program.started(own)
        assert redelivered
        assert report.send(own).duplicate
        program.open_gate()
        program.told.until("done")
        assert free_again(report.send, own).id != first.id
    finally:
        program.close()
