"""Time limits, soft and hard, and cancelling: by id, before a task runs and while it does. On both brokers."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.client import Connection, connect
from leveret.errors import TaskCancelled, TaskError, TaskFailed
from leveret.tasks import Message, Middleware, Outcome, Retries, TimeLimitExceeded, WorkQueue, current_task
from leveret.tasks.cancelling import MARK, cancel, is_cancelled
from worker.support import WITHIN_S, Program, working

Said = SimpleQueue[Any]


class Outcomes(Middleware):
    def __init__(self, said: Said) -> None:
        self.said = said

    def after(self, message: Message, outcome: Outcome) -> None:
        self.said.put((message.task, type(outcome).__name__))


@pytest.fixture
def said() -> Said:
    return SimpleQueue()


@pytest.fixture
def work(broker: Broker, name: str, said: Said) -> WorkQueue:
    queue, middleware = f"limits.{name}", [Outcomes(said)]
    return WorkQueue(broker.url, default_queue=queue, retry=Retries(1), results=True, middleware=middleware)


def test_a_plain_function_beyond_its_time_limit_is_interrupted(work: WorkQueue) -> None:
    cleaned = threading.Event()

    @work.task(time_limit=0.2)
    def spin() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            cleaned.set()

    with working(work), pytest.raises(TaskFailed, match="longer than its time limit") as raised:
        spin.send().result(WITHIN_S)
    assert cleaned.is_set()
    assert "in spin" in raised.value.traceback


def test_an_async_task_beyond_its_time_limit_is_interrupted(work: WorkQueue) -> None:
    @work.task(time_limit=0.2)
    async def wait() -> None:
        await asyncio.Event().wait()

    with working(work), pytest.raises(TaskFailed, match="longer than its time limit") as raised:
        wait.send().result(WITHIN_S)
    assert "in wait" in raised.value.traceback


def test_a_task_may_end_in_its_own_way_when_its_time_is_over(work: WorkQueue) -> None:
    @work.task(time_limit=0.2)
    def spin() -> str:
        try:
            while True:
                time.sleep(0.001)
        except TimeLimitExceeded:
            return "half of it"

    with working(work):
        assert spin.send().result(WITHIN_S) == "half of it"


def test_an_interrupt_never_hits_the_next_task_of_its_thread(work: WorkQueue) -> None:
    """Tasks that end at the very moment their time is over, many of them, one thread."""

    @work.task(time_limit=0.005)
    def brink() -> None:
        until = time.monotonic() + 0.005
        while time.monotonic() < until:
            pass

    @work.task
    def next_one() -> int:
        return sum(range(10_000))

    with working(work, threads=1):
        calls = [task.call() for _ in range(100) for task in (brink, next_one)]
        sent = work.send_many(calls)
        assert {one.result(WITHIN_S) for one in sent if one.task == "next_one"} == {sum(range(10_000))}


@pytest.mark.parametrize(
    ("limits", "text"),
    [({"time_limit": 0}, "no time"), ({"time_limit": 5, "hard_time_limit": 1}, "behind the hard one")],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float], text: str) -> None:
    with pytest.raises(TaskError, match=text):
        WorkQueue().task(**limits)  # type: ignore[call-overload]


STUCK = """
import threading

@work.task(hard_time_limit=0.5, retry=Retries(2, first_s=0), result=True)
def stuck() -> None:
    tell("stuck", os.getpid())
    try:
        threading.Event().wait()  # in C: nothing is raised in there
    except BaseException:
        threading.Event().wait()
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"limits.{name}", STUCK)
    yield made
    made.close()


def test_beyond_its_hard_limit_the_process_is_replaced_and_only_that_task_charged(
    program: Program, channel: BlockingChannel
) -> None:
    supervisor, log = program.worker(threads=2)
    program.slow.send("other")
    program.started("other")
    sent = program.work.task(name="stuck", result=True)(print).send()
    first = program.told.until("stuck")
    program.open_gate()
    program.told.until("done other")
    assert program.told.until("stuck") != first
    with pytest.raises(TaskFailed, match=r"\(attempts\).*hard time limit of 0.5 s"):
        sent.result(WITHIN_S)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    lines = log.to_the_end()
    assert any("is replaced" in line for line in lines)
    assert sum("done task=slow" in line for line in lines) == 1
    assert channel.queue_declare(program.queue, passive=True).method.message_count == 0


# ---- cancelling


def marks(channel: BlockingChannel, id: str) -> int:
    """How many messages are in the queue that stands for a cancelled task; deletes it."""
    count: int = channel.queue_delete(MARK + id).method.message_count
    return count


def test_what_is_delayed_does_not_run_any_more_once_it_is_cancelled(
    work: WorkQueue, said: Said, channel: BlockingChannel
) -> None:
    task = work.task(name="note")(lambda: None)
    sent = task.options(delay=0.5).send()
    other = task.options(delay=0.6).send()
    sent.cancel()
    sent.cancel()
    with working(work):
        other.result(WITHIN_S)
        with pytest.raises(TaskCancelled):
            sent.result(WITHIN_S)
    assert [said.get_nowait() for _ in range(said.qsize())] == [("note", "Done")]
    assert marks(channel, sent.id) == 0, "its mark was left behind"


def test_a_task_that_waits_in_its_queue_can_be_cancelled_if_it_says_so(work: WorkQueue, said: Said) -> None:
    task = work.task(name="note", cancellable=True)(lambda: None)
    sent = [task.send() for _ in range(20)]
    for one in sent[::2]:
        work.cancel(one.id)
    with working(work):
        for one in sent[1::2]:
            one.result(WITHIN_S)
        for one in sent[::2]:
            with pytest.raises(TaskCancelled):
                one.result(WITHIN_S)
    assert said.qsize() == 10


def test_a_worker_that_asks_while_somebody_cancels_does_not_take_the_mark_away(broker: Broker, name: str) -> None:
    """It asks for the deletion of an empty mark, which the mark is for a moment."""

    async def ask(asking: Connection, id: str) -> None:
        channel = await asking.channel()  # which the answer closes if it is yes
        for _ in range(4):
            if await is_cancelled(channel, id):
                return
        await channel.close()

    async def race() -> None:
        async with await connect(broker.url) as asking, await connect(broker.url) as cancelling:
            for number in range(20):
                id = f"{name}.{number}"
                asked = asyncio.create_task(ask(asking, id))
                await cancel(cancelling, id, WITHIN_S)
                await asked
                assert await is_cancelled(await asking.channel(), id)

    asyncio.run(race())


def test_a_coroutine_cancels_and_an_async_task_that_runs_is_cancelled(work: WorkQueue, said: Said) -> None:
    begun = threading.Event()

    @work.task
    async def forever() -> None:
        begun.set()
        await asyncio.Event().wait()

    with working(work):
        sent = forever.send()
        assert begun.wait(WITHIN_S)
        asyncio.run(sent.cancel_async())
        with pytest.raises(TaskCancelled):
            sent.result(WITHIN_S)
    assert said.get_nowait() == ("forever", "Cancelled")


def test_a_plain_function_that_runs_sees_that_it_was_cancelled(work: WorkQueue, said: Said) -> None:
    begun = threading.Event()

    @work.task
    def careful() -> None:
        begun.set()
        while True:
            current_task().raise_if_cancelled()
            time.sleep(0.001)

    with working(work):
        sent = careful.send()
        assert begun.wait(WITHIN_S)
        sent.cancel()
        with pytest.raises(TaskCancelled):
            sent.result(WITHIN_S)
    assert said.get_nowait() == ("careful", "Cancelled")


def test_a_task_that_pays_no_heed_ends_as_it_would(work: WorkQueue) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    @work.task
    def heedless() -> int:
        begun.set()
        assert goes_on.wait(WITHIN_S)
        return 1

    with working(work):
        sent = heedless.send()
        assert begun.wait(WITHIN_S)
        sent.cancel()
        goes_on.set()
        assert sent.result(WITHIN_S) == 1


# ---- priorities


def test_a_higher_priority_goes_first(work: WorkQueue, name: str) -> None:
    queue = work.queue(f"ranked.{name}", priorities=5).name
    order: list[int] = []
    task = work.task(name="note", queue=queue, priority=1)(order.append)
    for priority in (None, 0, 5, 3):
        task.options(priority=priority).send(1 if priority is None else priority)
    with working(work, threads=1, queues=(queue,)):
        task.options(priority=0).send(-1).result(WITHIN_S)
    assert order == [5, 3, 1, 0, -1]


def test_a_priority_that_the_queue_does_not_know_is_refused(work: WorkQueue) -> None:
    task = work.task(name="note")(lambda: None)
    with pytest.raises(TaskError, match=r"knows none: say work.queue\('limits.*', priorities=10\)"):
        task.options(priority=1).send()
    work.queue("three", priorities=3)
    with pytest.raises(TaskError, match="knows 0 to 3"):
        work.task(name="other", queue="three")(lambda: None).options(priority=4).send()
    with pytest.raises(TaskError, match="described twice"):
        work.queue("three")
