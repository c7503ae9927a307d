"""Results that are kept, written by workers on both brokers: before the acknowledgement, and whatever the store does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.client import Backoff, BasicProperties
from leveret.errors import ResultsUnavailable, TaskCancelled, TaskFailed
from leveret.tasks import Done, Failed, Failure, Message, Retries, WorkQueue, current_task
from leveret.tasks.kept import Kept, Results
from leveret.worker import keeping
from leveret.worker.keeping import Keeper
from worker.support import WITHIN_S, Program, await_end_of_task_threads, until_ready, working

HOUR = timedelta(hours=1)


class Memory(Results):
    """`fails` says how often it is away yet; `gate` holds up whoever puts."""

    def __init__(self, fails: int = 0, error: Exception | None = None) -> None:
        self.kept: list[Kept] = []
        self.swept: list[datetime] = []
        self.fails = fails
        self.error = error or ResultsUnavailable("away")
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()

    def put(self, kept: Kept, until: datetime) -> None:
        self.asked.set()
        self.gate.wait(WITHIN_S)
        if self.fails:
            self.fails -= 1
            raise self.error
        self.kept.append(kept)

    def get(self, id: str, now: datetime) -> Kept | None:
        return next((kept for kept in reversed(self.kept) if kept.id == id), None)

    def sweep(self, now: datetime) -> None:
        self.swept.append(now)

    def close(self) -> None: ...


@pytest.fixture
def work(broker: Broker, name: str, tmp_path: Path) -> Iterator[WorkQueue]:
    file = tmp_path / "results.sqlite"
    work = WorkQueue(broker.url, default_queue=f"keeping.{name}", retry=Retries(2, first_s=0), results_store=file)
    yield work
    work.close()


def remembering(work: WorkQueue, store: Results) -> WorkQueue:
    return WorkQueue(work.url, default_queue=work.default_queue, retry=work.retry, results_store=store)


def test_a_result_is_there_for_who_sent_and_for_another_process_that_knows_the_id(work: WorkQueue) -> None:
    @work.task(keep_result=HOUR)
    def total(numbers: list[int]) -> list[Path]:
        return [Path(str(sum(numbers)))]

    with working(work):
        sent = total.send([1, 2, 3])
        assert sent.result(WITHIN_S) == [Path("6")]
    # what a restarted process would make
    restarted = WorkQueue(work.url, default_queue=work.default_queue, results_store=work.results_store)
    again = restarted.task(name="total", keep_result=HOUR)(total.function)
    assert restarted.sent(sent.id, again).result(0) == [Path("6")]
    assert asyncio.run(restarted.sent(sent.id, again).result_async(0)) == [Path("6")]
    kept = asyncio.run(restarted.result_of_async(sent.id))
    assert kept is not None and (kept.state, kept.attempts, kept.value) == ("done", 1, ["6"])
    assert timedelta() <= kept.ended - kept.started < timedelta(minutes=1)


def test_no_thread_outlives_a_worker_that_has_stopped(work: WorkQueue) -> None:
    @work.task(keep_result=HOUR)
    def plain() -> str:
        return threading.current_thread().name

    @work.task(keep_result=HOUR)
    async def on_the_loop() -> str:
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    before = set(threading.enumerate())
    with working(work):
        for task in (plain, on_the_loop):
            assert task.send().result(WITHIN_S).startswith("leveret-task")
    await_end_of_task_threads(before)


def test_with_an_answer_as_well_whichever_comes_first_counts(work: WorkQueue) -> None:
    @work.task(keep_result=HOUR, result=True)
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    async def one() -> int:
        return await (await total.send_async([1, 2])).result_async(WITHIN_S)

    with working(work):
        assert asyncio.run(one()) == 3
        sent = total.send([1, 2, 3])
        assert sent.result(WITHIN_S) == 6
        lost = total.send([4])
        work._sender.close()  # the answer comes to nobody
        assert lost.result(WITHIN_S) == 4


def test_each_end_of_a_task_is_kept_and_a_failure_on_the_way(work: WorkQueue) -> None:
    store = Memory()
    work = remembering(work, store)

    @work.task(keep_result=HOUR)
    def second_time() -> int:
        if current_task().attempt == 1:
            raise ValueError("not yet")
        return 5

    @work.task(keep_result=HOUR, retry=Retries(1))
    def fail() -> None:
        raise ValueError("no good")

    @work.task(keep_result=HOUR, cancellable=True)
    def unwanted() -> None: ...

    @work.task
    def plain() -> None: ...

    cancelled = unwanted.send()
    cancelled.cancel()
    with working(work):
        plain.send()
        assert second_time.send().result(WITHIN_S) == 5
        with pytest.raises(TaskFailed, match=r"\(attempts\): ValueError: no good") as raised:
            fail.send().result(WITHIN_S)
        assert "in fail" in raised.value.traceback
        with pytest.raises(TaskCancelled):
            cancelled.result(WITHIN_S)
    told = {(kept.task, kept.state, kept.attempts) for kept in store.kept}
    assert told == {
        ("second_time", "failed", 1),
        ("second_time", "done", 2),
        ("fail", "parked", 1),
        ("unwanted", "cancelled", 1),
    }


def test_it_is_kept_before_it_is_acknowledged(work: WorkQueue, channel: BlockingChannel) -> None:
    store = Memory()
    store.gate.clear()
    work = remembering(work, store)
    work.task(name="t", keep_result=HOUR)(lambda: None).send()
    with working(work, shutdown_timeout_s=0.1):
        assert store.asked.wait(WITHIN_S)
    store.gate.set()
    until_ready(channel, work.default_queue, 1)


def test_a_store_that_is_broken_costs_the_result_and_never_the_task(
    work: WorkQueue, channel: BlockingChannel, caplog: pytest.LogCaptureFixture
) -> None:
    work = remembering(work, Memory(fails=1000, error=ValueError("what a store")))
    ran: list[int] = []

    @work.task(keep_result=HOUR, result=True)
    def note(number: int) -> int:
        ran.append(number)
        return number

    with working(work):
        assert note.send(7).result(WITHIN_S) == 7
    assert ran == [7] and "task=note" in caplog.text and "is not kept: what a store" in caplog.text
    until_ready(channel, work.default_queue, 0)


KEEPING = """
from datetime import timedelta
work.results_store = __import__("leveret.tasks.result_file", fromlist=["x"]).ResultFile(os.path.join(HERE, "r.sqlite"))

@work.task(keep_result=timedelta(hours=1))
def square(number: int) -> int:
    return number * number
"""


def test_several_worker_processes_keep_their_results_in_one_file(broker: Broker, name: str, tmp_path: Path) -> None:
    program = Program(tmp_path, broker.url, f"keeping.{name}", KEEPING)
    work = WorkQueue(broker.url, default_queue=program.queue, results_store=tmp_path / "r.sqlite")
    square = work.task(name="square", keep_result=HOUR)(lambda number: 0)
    try:
        process, _ = program.worker(processes=3, threads=4)
        sent = work.send_many([square.call(number) for number in range(200)])
        assert [one.result(WITHIN_S) for one in sent] == [number * number for number in range(200)]
        process.terminate()
        assert process.wait(WITHIN_S) == 0
    finally:
        work.close()
        program.close()


# ---- the keeper alone


MESSAGE = Message("q", b"{}", BasicProperties(type="t", message_id="id"), 1, False)


def keep(store: Results, *outcomes: Done | Failed, within_s: float = WITHIN_S) -> None:
    async def all_of_them() -> None:
        keeper = Keeper(store, within_s, Backoff(0.001, 0.001))
        for outcome in outcomes:
            await keeper.keep(MESSAGE, outcome, HOUR)

    asyncio.run(all_of_them())


def test_a_store_that_comes_back_in_time_has_it_and_is_swept_now_and_then() -> None:
    store = Memory(fails=3)
    keep(store, Done(5, 0.1), Done(6, 0.1))
    assert [kept.value for kept in store.kept] == [5, 6]
    assert len(store.swept) == 1


def test_a_store_that_hangs_or_stays_away_is_given_up_and_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    hanging, away = Memory(), Memory(fails=10**9)
    hanging.gate.clear()
    for store in (hanging, away):
        caplog.clear()
        keep(store, Done(5, 0.1), within_s=0.05)
        assert "the result of task=t id=id (done) is not kept: nothing came of it within 0.05 s" in caplog.text
    hanging.gate.set()


def test_a_result_that_has_no_form_in_json_is_kept_as_done_with_the_reason() -> None:
    store = Memory()
    keep(store, Done(object(), 0.1), Failed(Failure("ValueError", "no", "at"), 0.1))
    assert [(kept.state, kept.error and kept.error.exception) for kept in store.kept] == [
        ("done", "leveret.errors.TaskError"),
        ("failed", "ValueError"),
    ]
    assert keeping.STATES.keys() >= {Done, Failed}
