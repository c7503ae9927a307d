"""Injected parameters in a worker, on both brokers: once for a task, once for a process, and cleaned up at its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from brokers import Broker
from leveret.errors import TaskError, TaskFailed
from leveret.tasks import Retries, TaskContext, TimeLimitExceeded, WorkQueue, inject, wait_many
from leveret.worker.options import Options
from leveret.worker.worker import Worker
from worker.support import WITHIN_S, Program, working


@pytest.fixture
def work(broker: Broker, name: str) -> WorkQueue:
    return WorkQueue(broker.url, default_queue=f"providing.{name}", retry=Retries(2, first_s=0), results=True)


def test_what_belongs_to_the_process_is_made_once_for_all_tasks_and_let_go_when_the_worker_ends(
    work: WorkQueue,
) -> None:
    said: list[str] = []

    def engine() -> Iterator[str]:
        said.append("engine")
        yield "engine"
        said.append("disposed")

    async def client() -> AsyncIterator[asyncio.AbstractEventLoop]:
        said.append("client")
        await asyncio.sleep(0)
        yield asyncio.get_running_loop()
        await asyncio.sleep(0)
        said.append("closed")

    @work.task
    def plain(number: int, engine: str = inject(engine, scope="process")) -> str:
        return f"{engine} {number}"

    @work.task
    async def later(
        loop: asyncio.AbstractEventLoop = inject(client, scope="process"), engine: str = inject(engine, scope="process")
    ) -> bool:
        return loop is asyncio.get_running_loop()

    with working(work):
        sent = [plain.send(number) for number in range(20)]
        waiting = [later.send() for _ in range(20)]
        assert wait_many(sent, WITHIN_S) == [f"engine {number}" for number in range(20)]
        assert wait_many(waiting, WITHIN_S) == [True] * 20
        assert sorted(said) == ["client", "engine"]
    assert sorted(said[2:]) == ["closed", "disposed"]


def test_a_provider_that_fails_is_tried_again_and_its_failure_is_told(work: WorkQueue) -> None:
    attempts: list[int] = []

    def database(task: TaskContext = inject()) -> str:
        attempts.append(task.attempt)
        if task.attempt == 1:
            raise OSError("the database is away")
        return "database"

    def never() -> str:
        raise OSError("no database at all")

    @work.task
    def charge(database: str = inject(database)) -> str:
        return database

    @work.task
    def refund(database: str = inject(never)) -> None: ...

    with working(work):
        assert charge.send().result(WITHIN_S) == "database"
        with pytest.raises(TaskFailed, match=r"\(attempts\): OSError: no database at all"):
            refund.send().result(WITHIN_S)
    assert attempts == [1, 2]


def test_a_time_limit_holds_for_providers_too(work: WorkQueue) -> None:
    never = threading.Event()

    def slow() -> int:
        while not never.is_set():
            never.wait(0.01)
        return 5

    async def slow_too() -> int:
        await asyncio.Event().wait()
        return 5

    @work.task(time_limit=0.2, retry=Retries(1))
    def plain(number: int = inject(slow)) -> None: ...

    @work.task(time_limit=0.2, retry=Retries(1))
    async def later(number: int = inject(slow_too)) -> None: ...

    with working(work):
        for sent in (plain.send(), later.send()):
            with pytest.raises(TaskFailed, match=TimeLimitExceeded.__name__):
                sent.result(WITHIN_S)


def test_a_cancelled_async_task_has_its_providers_clean_up(work: WorkQueue) -> None:
    began, cleaned = threading.Event(), threading.Event()

    async def session() -> AsyncIterator[int]:
        try:
            yield 5
        finally:
            cleaned.set()

    @work.task
    async def wait(number: int = inject(session)) -> None:
        began.set()
        await asyncio.Event().wait()

    with working(work):
        sent = wait.send()
        assert began.wait(WITHIN_S)
        sent.cancel()
        assert cleaned.wait(WITHIN_S)


def test_a_program_whose_parameters_cannot_be_given_does_not_begin(work: WorkQueue) -> None:
    async def session() -> int:
        return 5

    @work.task
    def charge(number: int = inject(session)) -> None: ...

    with pytest.raises(TaskError, match="is async, and cannot be waited for"):
        Worker(work, work.url or "", Options())


PROVIDED = """
from leveret import inject

def engine():
    tell("engine", os.getpid())
    yield os.getpid()
    tell("disposed", os.getpid())

@work.task
def charge(number: int, engine: int = inject(engine, scope="process")) -> None:
    tell("charged", number, engine == os.getpid())
"""


def test_each_process_has_its_own_and_cleans_up_before_it_ends(broker: Broker, name: str, tmp_path: Path) -> None:
    program = Program(tmp_path, broker.url, f"providing.{name}", PROVIDED)
    try:
        process, _ = program.worker(threads=1)
        charge = program.work.task(name="charge")(lambda number: None)
        for number in range(3):
            charge.send(number)
        program.told.until("charged 2 True")
        process.terminate()
        program.told.until("disposed")
        assert process.wait(WITHIN_S) == 0
        assert sum(line.startswith("engine") for line in program.told.seen) == 1
    finally:
        program.close()
