"""What a program's schedules are is told to those who do not have it; one is sent now, or not at all. On both brokers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.client import connect
from leveret.errors import TaskError, WaitTimeout
from leveret.tasks import Unique, WorkQueue, current_task
from leveret.tasks.timetables import (
    Timetable,
    mark_of,
    pause_schedule,
    programs,
    resume_schedule,
    run_schedule,
    timetable,
    timetable_queue,
)
from worker.support import WITHIN_S, working


class Nightly:
    """A program with a nightly schedule and, if asked for, one that is due all the time."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.ran: SimpleQueue[str] = SimpleQueue()
        self.work = WorkQueue(url, name=name, default_queue=f"timetable.{name}")
        self.tidy = self.work.task(name="tidy")(lambda: self.ran.put(current_task().id))
        self.work.schedule("0 3 * * *", tz="Europe/Berlin", name="nightly")(self.tidy)

    def often(self) -> None:
        self.work.schedule(every=0.2, name="often", catch_up="all")(self.tidy)


@pytest.fixture
def program(broker: Broker, name: str) -> Iterator[Nightly]:
    made = Nightly(broker.url, f"night shift.{name}")
    yield made
    made.work.close()


@pytest.fixture
def over(broker: Broker) -> Callable[..., Any]:
    def act(do: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        async def main() -> Any:
            async with await connect(broker.url) as connection:
                return await do(connection, *arguments, **named)

        return asyncio.run(main())

    return act


async def told(connection: Any, program: str, when: Callable[[Timetable], bool]) -> Timetable:
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = await timetable(connection, program)
            if found is not None and when(found):
                return found
            await asyncio.sleep(0.02)


def test_workers_tell_what_they_send_and_when(program: Nightly, over: Callable[..., Any]) -> None:
    with working(program.work) as worker:
        found = over(told, program.name, lambda found: True)
        (row,) = found.schedules
        assert (found.program, found.worker) == (program.name, worker._id)
        assert (row.name, row.task, row.queue) == ("nightly", "tidy", program.work.default_queue)
        assert (row.words, row.cron, row.zone) == ("At 03:00 every day (Europe/Berlin)", "0 3 * * *", "Europe/Berlin")
        assert row.next == sorted(row.next) and len(row.next) == 5 and not row.last and not row.paused
        assert datetime.fromtimestamp(row.next[0], UTC) - datetime.now(UTC) < timedelta(hours=25)
    left = over(timetable, program.name)
    assert left == found, "what was told stays when no worker is there"
    assert left.served(left.at + 60) and not left.served(left.at + 600)


def test_one_is_sent_now_and_is_due_when_it_was(program: Nightly, over: Callable[..., Any]) -> None:
    with working(program.work):
        before = over(told, program.name, lambda found: True)
        id = over(run_schedule, program.name, "nightly", timeout_s=WITHIN_S)
        assert program.ran.get(timeout=WITHIN_S) == id
        after = over(told, program.name, lambda found: bool(found.schedules[0].last))
        assert [(ran.id, ran.due) for ran in after.schedules[0].last] == [(id, None)]
        assert after.schedules[0].next == before.schedules[0].next


def test_the_one_who_serves_next_knows_what_was_sent_before(program: Nightly, over: Callable[..., Any]) -> None:
    with working(program.work):
        over(told, program.name, lambda found: True)
        id = over(run_schedule, program.name, "nightly", timeout_s=WITHIN_S)
        over(told, program.name, lambda found: bool(found.schedules[0].last))
    with working(program.work) as worker:
        found = over(told, program.name, lambda found: found.worker == worker._id)
        assert [ran.id for ran in found.schedules[0].last] == [id]


def test_what_cannot_be_sent_now_is_told(program: Nightly, over: Callable[..., Any]) -> None:
    with pytest.raises(TaskError, match="no worker of a program"):
        over(run_schedule, program.name, "nightly")
    with working(program.work):
        over(told, program.name, lambda found: True)
        with pytest.raises(TaskError, match="has no schedule 'hourly'; it has: nightly"):
            over(run_schedule, program.name, "hourly", timeout_s=WITHIN_S)
    with pytest.raises(WaitTimeout, match="no worker that serves"):
        over(run_schedule, program.name, "nightly", timeout_s=0.2)


def test_a_task_that_is_unique_is_not_sent_twice(broker: Broker, name: str, over: Callable[..., Any]) -> None:
    work = WorkQueue(broker.url, name=name, default_queue=name)
    held = work.task(name="held", unique=Unique(until_done=True))(lambda: None)
    work.schedule("0 3 * * *")(held)
    work.task(name="other", queue=f"{name}.other")(lambda: None)
    first = held.send()
    with working(work, queues=[f"{name}.other"]):
        over(told, name, lambda found: True)
        with pytest.raises(TaskError, match=first.id):
            over(run_schedule, name, "held", timeout_s=WITHIN_S)


def test_nothing_is_sent_by_a_schedule_that_is_paused_and_nothing_is_made_up_for(
    program: Nightly, over: Callable[..., Any]
) -> None:
    program.often()
    over(pause_schedule, program.name, "often", "a test")
    let = Let()
    with working(program.work):
        found = over(told, program.name, lambda found: True)
        assert {row.name: row.paused for row in found.schedules} == {"nightly": False, "often": True}
        let.times(5)
        resumed = datetime.now(UTC)
        over(resume_schedule, program.name, "often")
        program.ran.get(timeout=WITHIN_S)
        found = over(told, program.name, lambda found: any(row.last for row in found.schedules))
        last = next(row.last for row in found.schedules if row.name == "often")
        first_due = min(ran.due for ran in last if ran.due is not None)
        # The one before may fall between the worker's last look and the resuming.
        assert first_due > resumed.timestamp() - 0.4


class Let(logging.Handler):
    """Counts the due times that a scheduler let pass."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: SimpleQueue[str] = SimpleQueue()
        logger = logging.getLogger("leveret.worker")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if "is paused, and not sent" in record.getMessage():
            self._passed.put(record.getMessage())

    def times(self, count: int) -> None:
        for _ in range(count):
            self._passed.get(timeout=WITHIN_S)


def test_programs_are_known_by_the_names_of_queues(program: Nightly) -> None:
    names = ["mail", timetable_queue("night shift.a"), timetable_queue("b"), "leveret.scheduler.b"]
    assert programs(names) == ["b", "night shift.a"]
    assert mark_of("a.b", "c") != mark_of("a", "b.c")


def test_a_timetable_that_cannot_be_read_is_dropped_and_told_anew(
    program: Nightly, over: Callable[..., Any], channel: BlockingChannel
) -> None:
    assert over(timetable, program.name) is None
    with working(program.work):
        over(told, program.name, lambda found: True)
        channel.basic_publish("", timetable_queue(program.name), b"{")
        channel.queue_declare(timetable_queue(program.name), passive=True)
        over(run_schedule, program.name, "nightly", timeout_s=WITHIN_S)
        over(told, program.name, lambda found: bool(found.schedules[0].last))
