"""One worker of several serves the schedules, on both brokers; it dies, and another one does; no time is served twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest
from msgspec.structs import replace

from brokers import Broker
from leveret.client import BasicProperties, connect
from leveret.tasks import Failure, Message, WorkQueue, current_task
from leveret.tasks.message import properties_crashed, properties_failed, properties_of
from leveret.tasks.outbox import Parcel
from leveret.tasks.schedules import Schedule
from leveret.tasks.topology import SCHEDULER
from leveret.worker.claims import Claims
from worker.support import WITHIN_S, Lines, Program, working

TICK = """
from datetime import datetime, UTC

@work.schedule(every=0.5, catch_up="all")
@work.task
def tick() -> None:
    tell("tick", current_message().id, current_message().redelivered)
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"ticks.{name}", TICK)
    text = made.file.read_text().replace("default_queue=", f"name={name!r}, default_queue=", 1)
    made.file.write_text(text)
    yield made
    made.close()


def ticks(since: datetime, until: datetime) -> list[str]:
    """The ids of the times in between, as any worker makes them."""
    work = WorkQueue()
    task = work.task(name="tick")(lambda: None)
    one = Schedule("tick", task.call(), every=timedelta(seconds=0.5), catch_up="all")
    return [one.id(due) for due in one.due(since, until)]


def test_each_time_is_served_once_by_one_of_three_workers_and_over_the_death_of_that_one(program: Program) -> None:
    begun = datetime.now(UTC)
    workers = [program.worker(processes=1) for _ in range(3)]
    came: list[tuple[str, bool]] = []
    while len(came) < 4:
        came.append(tick_of(program))
    serving = [place for place, (_, log) in enumerate(workers) if served_by(log)]
    assert len(serving) == 1, "not one worker serves the schedules"
    killed = workers[serving[0]][0]
    os.kill(child_of(killed.pid), signal.SIGKILL)
    os.kill(killed.pid, signal.SIGKILL)
    expected = ticks(begun, begun + timedelta(seconds=60))
    expected = expected[expected.index(came[0][0]) :][:12]
    while not set(expected) <= {id for id, _ in came}:
        came.append(tick_of(program))
    # The one that the killed worker was at may be begun again, for which it is marked.
    assert max(Counter(id for id, redelivered in came if not redelivered).values()) == 1, "a time was served twice"


def tick_of(program: Program) -> tuple[str, bool]:
    _, id, redelivered = program.told.until("tick").split()
    return id, redelivered == "True"


def served_by(log: Lines) -> bool:
    """Whether its worker has said so; what it has logged until now is in its pipe."""
    os.set_blocking(log._number, False)
    with contextlib.suppress(BlockingIOError):
        return b"serves the schedules" in os.read(log._number, 1 << 20)
    return False


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_what_passed_while_no_worker_ran_is_made_up_for_by_the_next(broker: Broker, name: str) -> None:
    """The last one left word that it served an hourly schedule until five hours ago."""
    done: SimpleQueue[str] = SimpleQueue()
    work = WorkQueue(broker.url, name=name, default_queue=name)
    tick = work.task(name="tick")(lambda: done.put(current_task().id))
    work.schedule("0 * * * *", catch_up="all")(tick)
    schedule = work.schedules["tick"]
    until = datetime.now(UTC).replace(minute=1) - timedelta(hours=5)
    baton = msgspec.json.encode({"tick": until})
    work._sender.send(Parcel(SCHEDULER + name, baton, BasicProperties(delivery_mode=2)), WITHIN_S)
    missed = [schedule.id(due) for due in schedule.due(until, until + timedelta(hours=4))]
    with working(work, threads=1):
        assert [done.get(timeout=WITHIN_S) for _ in missed] == missed
    assert len(missed) == 4


def test_a_task_that_was_sent_twice_under_one_id_is_run_once(broker: Broker, name: str) -> None:
    """As after a crash between the sending and the note of it."""
    done: SimpleQueue[str] = SimpleQueue()
    work = WorkQueue(broker.url, name=name, default_queue=name)
    tick = work.task(name="tick")(lambda: done.put("tick"))
    last = work.task(name="last")(lambda: done.put("last"))
    work.schedule(every=3600)(tick)
    schedule = work.schedules.pop("tick")
    due = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(2):
        work._sender.send(work.scheduled(schedule, due), WITHIN_S)
    last.send()
    with working(work, threads=1):
        assert [done.get(timeout=WITHIN_S) for _ in range(2)] == ["tick", "last"]
    assert done.empty()


def test_a_scheduled_task_that_a_stopping_worker_puts_back_is_run_by_the_next(broker: Broker, name: str) -> None:
    """It was claimed when it began; the claim that it would find now is its own."""
    begun: SimpleQueue[int] = SimpleQueue()
    goes_on = False
    work = WorkQueue(broker.url, name=name, default_queue=name)

    @work.task
    async def tick() -> None:
        begun.put(current_task().attempt)
        if not goes_on:
            await asyncio.Event().wait()

    work.schedule(every=3600)(tick)
    work._sender.send(work.scheduled(work.schedules.pop("tick"), datetime(2026, 1, 2, tzinfo=UTC)), WITHIN_S)
    with working(work, shutdown_timeout_s=0.0):
        assert begun.get(timeout=WITHIN_S) == 1
    goes_on = True
    with working(work):
        assert begun.get(timeout=WITHIN_S) == 1


def test_of_several_copies_of_an_id_one_has_the_claim_and_has_it_still_when_it_comes_back(
    broker: Broker, name: str
) -> None:
    async def main() -> tuple[list[bool], list[bool]]:
        async with await connect(broker.url) as connection:
            claims = Claims(connection)
            one_by_one = [await claims.take(name, copy) for copy in ("one", "another", "one", "another")]
            asked = (claims.take(f"{name}.{number % 5}", str(number)) for number in range(20))
            return one_by_one, list(await asyncio.gather(*asked))

    one_by_one, at_once = asyncio.run(main())
    assert one_by_one == [True, False, True, False]
    assert [sum(at_once[id::5]) for id in range(5)] == [1] * 5


def test_a_second_copy_that_comes_back_from_a_worker_that_died_before_it_asked_is_dropped(
    broker: Broker, name: str
) -> None:
    done: SimpleQueue[str] = SimpleQueue()
    work = WorkQueue(broker.url, name=name, default_queue=name)
    tick = work.task(name="tick")(lambda: done.put("tick"))
    last = work.task(name="last")(lambda: done.put("last"))
    work.schedule(every=3600)(tick)
    schedule = work.schedules.pop("tick")
    first, second = (work.scheduled(schedule, datetime(2026, 1, 3, tzinfo=UTC)) for _ in range(2))
    work._sender.send(first, WITHIN_S)
    crashed = properties_crashed(Message(name, second.body, second.properties, 1, True, crashes=1))
    work._sender.send(replace(second, properties=crashed), WITHIN_S)
    last.send()
    with working(work, threads=1):
        assert [done.get(timeout=WITHIN_S) for _ in range(2)] == ["tick", "last"]
    assert done.empty()


def test_what_has_failed_was_begun_and_asks_no_more() -> None:
    message = Message("q", b"{}", properties_of("t", "", once=True), 1, False)
    assert message.claim
    failed = properties_failed(message, Failure("ValueError", "no", ""), datetime(2026, 1, 1, tzinfo=UTC))
    assert not Message("q", b"{}", failed, 2, False).claim


def test_an_id_that_cannot_name_a_queue_is_neither_claimed_nor_asked_about() -> None:
    for id in ("x" * 201, "ä" * 101):
        strange = properties_of("t", "", id=id, once=True, cancellable=True, workflow=id)
        message = Message("q", b"{}", strange, 1, False)
        assert (message.claim, message.marks) == ("", ())
    usual = Message("q", b"{}", properties_of("t", "", id="x", cancellable=True, workflow="w"), 1, False)
    assert usual.marks == ("x", "w")
