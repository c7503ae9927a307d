"""The outbox with SQLAlchemy, on SQLite: sent if committed and only then, in order, at least once, whoever dies."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import Session

from leveret.client.blocking import connect_blocking
from leveret.contrib import relay as relaying
from leveret.contrib.relay import Row
from leveret.contrib.sqlalchemy import Outbox
from leveret.errors import ConnectionLost, TaskError
from leveret.tasks import Unique, WorkQueue, chain
from leveret.testing.harness import Harness

WITHIN_S = 60.0


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return create_engine(f"sqlite:///{tmp_path}/program.db")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(work: WorkQueue, work_queue: Harness, engine: Engine, clock: Clock) -> Outbox:
    outbox = Outbox(work, now=clock)
    outbox.table.metadata.create_all(engine)
    return outbox


def send(outbox: Outbox, engine: Engine, *numbers: int) -> list[str]:
    note = outbox.work.tasks["note"]
    with Session(engine) as session, session.begin():
        return [outbox.send(session, note.call(number)).id for number in numbers]


def left(outbox: Outbox, engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(outbox.table)).scalar_one()


def numbers(work_queue: Harness) -> list[int]:
    return [one.args[0] for one in work_queue.enqueued()]


# ---- transactions


def test_what_is_committed_is_sent_in_order_and_gone_from_the_table(
    outbox: Outbox, engine: Engine, work_queue: Harness
) -> None:
    ids = send(outbox, engine, 1, 2, 3)
    assert (work_queue.enqueued(), left(outbox, engine)) == ([], 3)
    assert outbox.relay_once(engine) == 3
    assert [one.id for one in work_queue.enqueued()] == ids
    assert numbers(work_queue) == [1, 2, 3]
    assert (left(outbox, engine), outbox.relay_once(engine)) == (0, 0)
    assert len(work_queue.drain()) == 3


def test_what_is_rolled_back_is_not_sent(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    note = outbox.work.tasks["note"]
    with Session(engine) as session:
        outbox.send(session, note.call(1))
        session.rollback()
        outbox.send(session, note.call(2))
        with session.begin_nested() as savepoint:
            outbox.send(session, note.call(3))
            savepoint.rollback()
        session.commit()
    outbox.relay_once(engine)
    assert numbers(work_queue) == [2]


def test_a_connection_will_do(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    with engine.begin() as connection:
        outbox.send(connection, outbox.work.tasks["note"].call(1))
    outbox.relay_once(engine)
    assert numbers(work_queue) == [1]


def test_so_will_an_asyncio_session(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    class Async:
        """What AsyncSession is to the outbox; its drivers are not needed here."""

        def __init__(self, session: Session) -> None:
            self.sync_session = session

        async def execute(self, statement: Any) -> None:
            self.sync_session.execute(statement)

    with Session(engine) as session, session.begin():
        fake: Any = Async(session)
        asyncio.run(outbox.send_async(fake, outbox.work.tasks["note"].call(1)))
    outbox.relay_once(engine)
    assert numbers(work_queue) == [1]
    assert outbox.bell.rings == 1


def test_a_delay_counts_from_the_sending(outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock) -> None:
    note = outbox.work.tasks["note"]
    with Session(engine) as session, session.begin():
        outbox.send(session, note.options(delay=60).call(1))
        outbox.send(session, note.options(delay=10).call(2))
    clock.ms += 20_000
    outbox.relay_once(engine)
    assert [(one.args[0], one.due) for one in work_queue.enqueued()] == [
        (2, timedelta()),
        (1, timedelta(seconds=40)),
    ]


# ---- failures


def test_what_expires_counts_from_the_sending_however_late_it_is_relayed(
    outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock
) -> None:
    note = outbox.work.tasks["note"]
    clock.ms = int(work_queue.now.timestamp() * 1000)
    with Session(engine) as session, session.begin():
        outbox.send(session, note.options(expires=60).call(1))
        outbox.send(session, note.options(expires=timedelta(days=1), delay=10).call(2))
    clock.ms += 120_000
    work_queue.travel(120)
    outbox.relay_once(engine)
    assert [getattr(run.outcome, "reason", "done") for run in work_queue.drain()] == ["expired", "done"]


def test_a_relay_whose_broker_is_away_keeps_everything(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    ids = send(outbox, engine, 1, 2)
    url, outbox.work.url = outbox.work.url, "amqp://127.0.0.1:1"
    outbox.work.close()
    with pytest.raises(ConnectionLost):
        outbox.relay_once(engine)
    outbox.work.url = url
    assert outbox.relay_once(engine) == 2
    assert [one.id for one in work_queue.enqueued()] == ids


def test_a_message_that_the_broker_refuses_holds_up_no_other(
    outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock
) -> None:
    work = outbox.work
    odd = work.task(name="odd", queue="odd")(lambda: None)
    with connect_blocking(work.broker_url()) as connection, connection.channel() as channel:
        channel.queue_declare("odd", durable=False)
        with Session(engine) as session, session.begin():
            outbox.send(session, odd.call())
        send(outbox, engine, 1)
        assert outbox.relay_once(engine) == 2
        assert (numbers(work_queue), left(outbox, engine)) == ([1], 1)
        assert outbox.relay_once(engine) == 0  # it is left alone for a while
        channel.queue_delete("odd")
    clock.ms += 1_000
    assert outbox.relay_once(engine) == 1
    assert left(outbox, engine) == 0
    assert work_queue.assert_enqueued(odd)


def test_a_row_that_nobody_can_read_holds_up_no_other(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    with engine.begin() as connection:
        connection.execute(outbox.table.insert().values(id="x", task="x", queue="x", call=b"{}"))
    send(outbox, engine, 1)
    outbox.relay_once(engine)
    assert (numbers(work_queue), left(outbox, engine)) == ([1], 1)


def test_a_task_that_the_relay_does_not_know_holds_up_no_other(
    outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock
) -> None:
    work = outbox.work
    newer = work.task(name="newer")(lambda: None)
    with Session(engine) as session, session.begin():
        outbox.send(session, newer.call())
    send(outbox, engine, 1)
    del work.tasks["newer"]
    assert outbox.relay_once(engine) == 2
    assert (numbers(work_queue), left(outbox, engine)) == ([1], 1)
    work.tasks["newer"] = newer
    clock.ms += 1_000
    assert (outbox.relay_once(engine), left(outbox, engine)) == (1, 0)


# ---- what is said of a call


def test_a_result_is_refused_for_the_relay_would_get_it(outbox: Outbox, engine: Engine) -> None:
    note = outbox.work.tasks["note"]
    with Session(engine) as session, pytest.raises(TaskError, match="the relay that gets the result"):
        outbox.send(session, note.options(result=True).call(1))


def test_a_workflow_is_refused_for_it_is_no_single_message(outbox: Outbox, engine: Engine) -> None:
    note = outbox.work.tasks["note"]
    with Session(engine) as session, pytest.raises(TaskError, match="have one of your tasks send the workflow"):
        outbox.send(session, chain(note.call(1), note.call(2)))  # type: ignore[arg-type]


def test_of_unique_tasks_the_first_that_is_relayed_is_sent_and_those_of_tenants_go_to_their_lanes(
    outbox: Outbox, engine: Engine, work: WorkQueue
) -> None:
    once = work.task(name="once", queue="outbox.unique", unique=Unique(until_done=True))(lambda number: None)
    turns = work.task(name="turns", queue="outbox.fair", fair="tenant")(_turn)
    with Session(engine) as session, session.begin():
        for number in (1, 2, 1):
            outbox.send(session, once.call(number))
        outbox.send(session, turns.call("one"))
    while outbox.relay_once(engine):
        pass
    assert left(outbox, engine) == 0
    with connect_blocking(work.broker_url()) as connection:
        channel = connection.channel()
        there = {
            queue: channel.queue_declare(queue, passive=True).messages
            for queue in ("outbox.unique", "leveret.lane.outbox%2Efair.of.one")
        }
    assert there == {"outbox.unique": 1, "leveret.lane.outbox%2Efair.of.one": 1}


def _turn(tenant: str) -> None:
    """Whose turn it is."""


def test_a_priority_goes_along_and_one_that_the_queue_does_not_know_is_refused(
    outbox: Outbox, engine: Engine, work_queue: Harness
) -> None:
    outbox.work.queue("urgent", priorities=5)
    urgent = outbox.work.task(name="urgent", queue="urgent")(lambda number: None)
    with Session(engine) as session, session.begin():
        outbox.send(session, urgent.options(priority=1).call(1))
        outbox.send(session, urgent.options(priority=5).call(2))
        with pytest.raises(TaskError, match="priority 6"):
            outbox.send(session, urgent.options(priority=6).call(3))
    outbox.relay_once(engine)
    assert numbers(work_queue) == [2, 1]


def test_what_is_delayed_or_cancellable_can_be_cancelled_before_it_is_relayed(
    outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock
) -> None:
    note = outbox.work.tasks["note"]
    with Session(engine) as session, session.begin():
        outbox.send(session, note.options(delay=60).call(1)).cancel()
        outbox.send(session, note.options(cancellable=True).call(2)).cancel()
        outbox.send(session, note.call(3))
    clock.ms += 120_000  # nothing is left of the delay
    outbox.relay_once(engine)
    outcomes = [type(run.outcome).__name__ for run in work_queue.drain()]
    assert sorted(outcomes) == ["Cancelled", "Cancelled", "Done"]


def test_a_row_of_an_older_release_is_read(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    body = json.dumps({"task": "note", "queue": "default", "body": "eyJhcmdzIjpbN119", "id": "x"}).encode()
    with engine.begin() as connection:
        connection.execute(outbox.table.insert().values(id="x", task="note", queue="default", call=body))
    outbox.relay_once(engine)
    assert [(one.id, one.args) for one in work_queue.enqueued()] == [("x", (7,))]


# ---- deaths


RELAY = """
import os, signal, sys
from sqlalchemy import create_engine
from leveret.contrib import sqlalchemy
from leveret.tasks import Unique, WorkQueue, chain

def publish_and_die(*arguments):
    result = publish(*arguments)
    print("published", len(result.sent), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

publish, sqlalchemy.publish = sqlalchemy.publish, publish_and_die
work = WorkQueue(sys.argv[1])
work.task(name="note")(lambda number: None)
outbox = sqlalchemy.Outbox(work, lease_s=60)
outbox.relay_once(create_engine(sys.argv[2]))
"""


def test_a_relay_killed_between_publish_and_delete_sends_again_under_the_same_ids(
    outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock
) -> None:
    ids = send(outbox, engine, *range(20))
    arguments = [sys.executable, "-c", RELAY, outbox.work.broker_url(), str(engine.url)]
    killed = subprocess.run(arguments, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "published 20\n"), killed.stderr
    assert left(outbox, engine) == 20
    clock.ms = relaying.now_ms()
    assert outbox.relay_once(engine) == 0  # the dead one may still be alive, for all that anybody knows
    clock.ms += 60_001
    assert outbox.relay_once(engine) == 20
    assert [one.id for one in work_queue.enqueued()] == ids + ids
    assert left(outbox, engine) == 0


def test_a_relay_killed_before_it_published_loses_nothing(
    outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = send(outbox, engine, 1, 2)
    early = RELAY.replace("result = publish(*arguments)", "os.kill(os.getpid(), signal.SIGKILL)")
    arguments = [sys.executable, "-c", early, outbox.work.broker_url(), str(engine.url)]
    assert subprocess.run(arguments, timeout=WITHIN_S, check=False).returncode == -signal.SIGKILL
    clock.ms = relaying.now_ms() + 60_001
    assert outbox.relay_once(engine) == 2
    assert [one.id for one in work_queue.enqueued()] == ids


# ---- several


def test_where_rows_cannot_be_locked_one_relay_works_at_a_time(
    outbox: Outbox, engine: Engine, work_queue: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(outbox, engine, 1, 2, 3)
    counts: list[int] = []

    def publish(work: WorkQueue, rows: list[Row], now: int) -> relaying.Result:
        send(outbox, engine, 4)  # nothing is locked meanwhile
        counts.append(other.relay_once(engine))
        return relaying.publish(work, rows, now)

    other = Outbox(outbox.work, now=outbox._now)
    monkeypatch.setattr("leveret.contrib.sqlalchemy.publish", publish)
    assert outbox.relay_once(engine, limit=2) == 2
    assert counts == [0]
    monkeypatch.undo()
    assert other.relay_once(engine) == 2
    assert numbers(work_queue) == [1, 2, 3, 4]


def test_two_relays_at_a_time_send_everything_once_and_in_order(
    outbox: Outbox, engine: Engine, work_queue: Harness, clock: Clock
) -> None:
    second = Outbox(outbox.work, now=clock)
    pause = threading.Event()
    with outbox.relaying(engine, every_s=0.02), second.relaying(engine, every_s=0.02):
        for number in range(0, 200, 10):
            send(outbox, engine, *range(number, number + 10))
        deadline_s = time.monotonic() + WITHIN_S
        while left(outbox, engine) and time.monotonic() < deadline_s:
            pause.wait(0.01)
    assert numbers(work_queue) == list(range(200))


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=lambda one: one.name)
def test_where_rows_can_be_locked_those_of_others_are_passed_over(outbox: Outbox, dialect: Any) -> None:
    text = str(outbox._next(500).with_for_update(skip_locked=True).compile(dialect=dialect))
    assert text.endswith("FOR UPDATE SKIP LOCKED")


def test_locked_rows_are_set_free_by_the_end_of_the_transaction(
    outbox: Outbox, engine: Engine, work_queue: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statements of the other kind of database, as far as SQLite knows them."""
    monkeypatch.setattr("leveret.contrib.sqlalchemy.SKIPS_LOCKED", {"sqlite"})
    ids = send(outbox, engine, 1, 2)
    assert outbox.relay_once(engine) == 2
    assert ([one.id for one in work_queue.enqueued()], left(outbox, engine)) == (ids, 0)


# ---- waking


def test_a_commit_wakes_the_relay_and_a_savepoint_or_rollback_does_not(outbox: Outbox, engine: Engine) -> None:
    note = outbox.work.tasks["note"]
    with Session(engine) as session:
        outbox.send(session, note.call(1))
        session.rollback()
        assert outbox.bell.rings == 0
        session.begin()
        with session.begin_nested():
            outbox.send(session, note.call(2))
        assert outbox.bell.rings == 0
        session.commit()
        assert outbox.bell.rings == 1
        outbox.send(session, note.call(3))
        session.commit()
        assert outbox.bell.rings == 2


def test_a_relay_in_the_program_sends_at_once(outbox: Outbox, engine: Engine, work: WorkQueue) -> None:
    sent = threading.Event()
    real = work.send_many

    def send_many(calls: Any) -> Any:
        result = real(calls)
        sent.set()
        return result

    work.send_many = send_many  # type: ignore[method-assign]
    with outbox.relaying(engine, every_s=3600):
        send(outbox, engine, 1)
        assert sent.wait(WITHIN_S)


def test_a_relay_goes_on_after_what_fails(
    outbox: Outbox, engine: Engine, work_queue: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Exception | int] = [ConnectionLost("away"), 0]
    stop = threading.Event()

    def once(*_: object) -> int:
        outcome = outcomes.pop(0)
        if not outcomes:
            stop.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(outbox, "relay_once", once)
    outbox.relay(engine, stop, every_s=0.01)
    assert outcomes == []
