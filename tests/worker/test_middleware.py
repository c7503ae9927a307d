"""What middleware sees: each message before it is sent, what a task raised, and how everything ended, on both brokers."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

import pytest

from brokers import Broker
from leveret.tasks import Cancelled, Message, Middleware, Outcome, Outgoing, Retries, WorkQueue, current_task
from worker.support import WITHIN_S, working


class Stamp(Middleware):
    """Numbers what is sent, and keeps what was said to it."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.begun: SimpleQueue[object] = SimpleQueue()
        self.raised_by: SimpleQueue[tuple[BaseException, str, str]] = SimpleQueue()
        self.over: SimpleQueue[tuple[str, str, int]] = SimpleQueue()

    def send(self, outgoing: Outgoing) -> None:
        self.sent.append(outgoing)
        outgoing.headers["number"] = len(self.sent)

    def before(self, message: Message) -> None:
        self.begun.put(message.headers.get("number"))

    def raised(self, message: Message, error: BaseException, outcome: Outcome) -> None:
        self.raised_by.put((error, type(outcome).__name__, threading.current_thread().name))

    def ended(self, message: Message, outcome: Outcome) -> None:
        self.over.put((message.task, type(outcome).__name__, message.attempt))


@pytest.fixture
def stamp() -> Stamp:
    return Stamp()


@pytest.fixture
def work(broker: Broker, name: str, stamp: Stamp) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=f"middle.{name}", retry=Retries(2, first_s=0), middleware=[stamp])


def test_a_header_added_to_whatever_is_sent_arrives_with_it(work: WorkQueue, stamp: Stamp) -> None:
    task = work.task(name="one")(lambda: 1)

    async def both() -> None:
        await task.send_async()
        await work.send_many_async([task.call()])

    task.send()
    task.options(delay=0.1).send()
    work.send_many([task.call(), task.call()])
    asyncio.run(both())
    with working(work):
        assert sorted(str(stamp.begun.get(timeout=WITHIN_S)) for _ in range(6)) == list("123456")
    assert {outgoing.task for outgoing in stamp.sent} == {"one"}
    assert [outgoing.delay_ms for outgoing in stamp.sent] == [0, 100, 0, 0, 0, 0]
    assert len({outgoing.id for outgoing in stamp.sent}) == 6


def test_what_is_scheduled_is_stamped_too(work: WorkQueue, stamp: Stamp) -> None:
    @work.schedule(every=3600)
    @work.task
    def tidy() -> None: ...

    parcel = work.scheduled(work.schedules["tidy"], datetime.now(UTC))
    assert parcel.properties.headers is not None
    assert parcel.properties.headers.keys() == {"x-leveret-once", "number"}
    assert stamp.sent[0].id == parcel.properties.message_id


def test_a_hook_that_raises_keeps_no_message_from_being_sent(work: WorkQueue, caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Middleware):
        def send(self, outgoing: Outgoing) -> None:
            raise ValueError("bad hook")

        def ended(self, message: Message, outcome: Outcome) -> None:
            raise ValueError("bad hook")

    stamp = work.middleware[0]
    assert isinstance(stamp, Stamp)
    work.middleware = (Bad(), stamp)
    task = work.task(name="one")(lambda: 1)
    task.send()
    with working(work):
        assert stamp.over.get(timeout=WITHIN_S) == ("one", "Done", 1)
    assert "middleware Bad failed before task=one was sent" in caplog.text
    assert "a middleware failed at the end of task=one" in caplog.text


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_task_raised_is_seen_alive_with_its_frames_at_every_attempt(
    work: WorkQueue, stamp: Stamp, is_async: bool
) -> None:
    def fail() -> None:
        secret = 7
        raise ValueError(f"no good {secret}")

    async def fail_async() -> None:
        fail()

    work.task(name="fail")(fail_async if is_async else fail).send()
    with working(work):
        seen = [stamp.raised_by.get(timeout=WITHIN_S) for _ in range(2)]
        assert [stamp.begun.get(timeout=WITHIN_S) for _ in range(2)] == [
            1,
            1,
        ]  # the header is kept for the next attempt
        assert [stamp.over.get(timeout=WITHIN_S) for _ in range(2)] == [("fail", "Failed", 1), ("fail", "Parked", 2)]
    assert [kind for _, kind, _ in seen] == ["Failed", "Parked"]
    for error, _, thread in seen:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        assert frame is not None and frame.tb_frame.f_locals["secret"] == 7
        assert thread.startswith("leveret-task")


def test_the_end_of_what_never_ran_is_told_too(work: WorkQueue, stamp: Stamp) -> None:
    other = WorkQueue(work.url, default_queue=work.default_queue)
    other.task(name="unknown")(lambda: None).send()
    other.task(name="number")(lambda text: None).send("no number")
    other.close()

    @work.task
    def number(number: int) -> None: ...

    with working(work):
        over = {stamp.over.get(timeout=WITHIN_S) for _ in range(2)}
    assert over == {("unknown", "Parked", 1), ("number", "Parked", 1)}
    assert stamp.begun.empty() and stamp.raised_by.empty()


def test_a_cancelled_task_has_raised_nothing(work: WorkQueue, stamp: Stamp) -> None:
    after: SimpleQueue[Any] = SimpleQueue()

    class After(Middleware):
        def after(self, message: Message, outcome: Outcome) -> None:
            after.put(outcome)

    work.middleware = (*work.middleware, After())

    @work.task
    def wait() -> None:
        while True:
            current_task().raise_if_cancelled()
            threading.Event().wait(0.01)

    with working(work):
        sent = wait.send()
        assert stamp.begun.get(timeout=WITHIN_S) == 1
        sent.cancel()
        assert isinstance(after.get(timeout=WITHIN_S), Cancelled)
        assert stamp.over.get(timeout=WITHIN_S) == ("wait", "Cancelled", 1)
    assert stamp.raised_by.empty()


class Open(Middleware):
    """What it opens before is closed after, or is left open."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse
        self.open = 0
        self.over: SimpleQueue[str] = SimpleQueue()

    def before(self, message: Message) -> None:
        if self.refuse:
            raise ValueError("not now")
        self.open += 1

    def after(self, message: Message, outcome: Outcome) -> None:
        self.open -= 1
        self.over.put(type(outcome).__name__)


def test_who_let_a_task_in_hears_of_its_end_also_if_another_did_not(work: WorkQueue) -> None:
    first, refusing, last = Open(), Open(refuse=True), Open()
    work.middleware = (first, refusing, last)
    work.task(name="one")(lambda: 1).send()
    with working(work):
        assert [first.over.get(timeout=WITHIN_S) for _ in range(2)] == ["Failed", "Parked"]
    assert (first.open, refusing.open, last.open) == (0, 0, 0) and last.over.empty()
