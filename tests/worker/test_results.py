"""What a task returns comes back to its sender, on both brokers: values in their types, failures with their traceback."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import pytest

from brokers import Broker
from leveret.errors import TaskError, TaskFailed, WaitTimeout
from leveret.tasks import Retries, WorkQueue, current_task, wait_many, wait_many_async
from leveret.tasks.replies import Progress
from worker.support import WITHIN_S, Program, working


@dataclass
class Size:
    path: Path
    octets: int


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=f"results.{name}", retry=Retries(2, first_s=0), results=True)


def test_a_result_comes_back_in_its_annotated_type(work: WorkQueue) -> None:
    @work.task
    def measure(path: Path) -> Size:
        return Size(path, 5)

    with working(work):
        assert measure.send(Path("hare.png")).result(WITHIN_S) == Size(Path("hare.png"), 5)


def test_an_async_task_sent_by_a_coroutine_has_its_result_awaited(work: WorkQueue) -> None:
    @work.task
    async def add(a: int, b: int) -> int:
        return a + b

    async def both() -> list[int]:
        first = await add.send_async(1, 2)
        return [await first.result_async(WITHIN_S), *await wait_many_async([await add.send_async(3, 4)], WITHIN_S)]

    with working(work):
        assert asyncio.run(both()) == [3, 7]


def test_many_results_are_waited_for_together_and_keep_their_order(work: WorkQueue) -> None:
    @work.task
    def square(number: int) -> int:
        return number * number

    with working(work):
        sent = work.send_many([square.call(number) for number in range(500)])
        assert wait_many(sent, WITHIN_S) == [number * number for number in range(500)]
        assert all(one.done for one in sent)


def test_a_task_that_failed_for_good_raises_at_its_sender_with_its_traceback(work: WorkQueue) -> None:
    @work.task
    def fail() -> None:
        raise ValueError("no good")

    with working(work), pytest.raises(TaskFailed, match=r"'fail' failed \(attempts\): ValueError: no good") as raised:
        fail.send().result(WITHIN_S)
    assert "in fail" in raised.value.traceback


def test_an_attempt_that_failed_is_no_answer_yet(work: WorkQueue) -> None:
    @work.task
    def second_time() -> int:
        if current_task().attempt == 1:
            raise ValueError
        return current_task().attempt

    with working(work):
        assert second_time.send().result(WITHIN_S) == 2


def test_a_result_without_a_form_in_json_is_told_and_the_task_is_not_run_again(work: WorkQueue) -> None:
    runs = []

    @work.task
    def lock() -> object:
        runs.append(1)
        return threading.Lock()

    with working(work), pytest.raises(TaskFailed, match="cannot be written as JSON"):
        lock.send().result(WITHIN_S)
    assert runs == [1]


def test_a_result_that_is_not_what_the_annotation_says_is_told(work: WorkQueue) -> None:
    @work.task
    def lie() -> int:
        return "no number"  # type: ignore[return-value]

    with working(work), pytest.raises(TaskError, match="does not fit its annotation"):
        lie.send().result(WITHIN_S)


def test_without_a_worker_the_wait_is_bounded_and_can_be_asked_again(work: WorkQueue) -> None:
    task = work.task(name="one")(lambda: 1)
    sent = task.send()
    with pytest.raises(WaitTimeout, match=r"no result of task 'one' .* within 0.01 s"):
        sent.result(0.01)
    with pytest.raises(WaitTimeout):
        asyncio.run(sent.result_async(0.01))
    with working(work):
        assert sent.result(WITHIN_S) == 1


def test_a_task_that_was_not_asked_has_no_result_and_says_what_to_do(broker: Broker, name: str) -> None:
    work = WorkQueue(broker.url, default_queue=f"results.{name}")
    task = work.task(name="one")(lambda: 1)
    with pytest.raises(TaskError, match="without result=True"):
        task.send().result(WITHIN_S)
    asked = task.options(result=True)
    with working(work):
        assert asked.send().result(WITHIN_S) == 1


def test_progress_is_seen_while_the_task_runs(work: WorkQueue) -> None:
    goes_on = threading.Event()

    @work.task
    def slow() -> str:
        current_task().progress(3, 10, "third")
        assert goes_on.wait(WITHIN_S)
        return "done"

    with working(work):
        sent = slow.send()
        waiting = threading.Event()
        while sent.progress is None:
            assert not waiting.wait(0.01) and not sent.done
        assert sent.progress == Progress(3, 10, "third")
        goes_on.set()
        assert sent.result(WITHIN_S) == "done"


def test_the_context_tells_a_task_who_it_is(work: WorkQueue) -> None:
    @work.task(time_limit=60)
    def who() -> tuple[str, str, str, int, bool, bool]:
        me = current_task()
        return me.id, me.name, me.queue, me.attempt, me.deadline is not None, me.cancelled

    with working(work):
        sent = who.send()
        assert sent.result(WITHIN_S) == (sent.id, "who", work.default_queue, 1, True, False)
    with pytest.raises(TaskError, match="a worker runs"):
        current_task()


def test_a_result_is_not_lost_with_the_senders_connection(own_broker: Broker, name: str) -> None:
    """Sender and worker connect again to the broker that was restarted; what was asked for is still awaited."""
    work = WorkQueue(own_broker.url, default_queue=name, results=True)
    begun: SimpleQueue[int] = SimpleQueue()
    goes_on = threading.Event()

    @work.task
    def slow() -> int:
        begun.put(1)
        assert goes_on.wait(WITHIN_S)
        return 7

    with working(work):
        sent = slow.send()
        begun.get(timeout=WITHIN_S)
        own_broker.restart()
        goes_on.set()
        assert sent.result(2 * WITHIN_S) == 7


def test_closing_says_that_what_is_awaited_does_not_come(work: WorkQueue) -> None:
    sent = work.task(name="one")(lambda: 1).send()
    work.close()
    with pytest.raises(Exception, match="closed before the answer came"):
        sent.result(WITHIN_S)


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"results.{name}")
    yield made
    made.close()


def test_of_a_task_that_was_repeated_the_first_answer_counts(program: Program) -> None:
    """Its worker is killed; another runs it and answers."""
    program.worker(threads=1)
    sent = program.slow.options(result=True).send("a")
    pid, _ = program.started("a")
    os.kill(pid, signal.SIGKILL)
    program.started("a")
    program.open_gate()
    assert sent.result(WITHIN_S) is None
