"""The outbox on a database that locks rows: relays work side by side, and one that died holds nobody up."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.orm import Session

from contrib import django_project, postgres
from contrib.test_sqlalchemy import RELAY, WITHIN_S, left, numbers, send
from leveret.contrib import relay as relaying
from leveret.contrib.django import outbox as django_outbox
from leveret.contrib.relay import Row
from leveret.contrib.sqlalchemy import Outbox
from leveret.tasks import WorkQueue
from leveret.testing.harness import Harness


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.postgres() as url:
        yield url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(work: WorkQueue, work_queue: Harness, engine: Engine) -> Iterator[Outbox]:
    outbox = Outbox(work, MetaData())
    outbox.table.metadata.create_all(engine)
    yield outbox
    outbox.table.metadata.drop_all(engine)


def test_committed_is_sent_and_rolled_back_is_not(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    with Session(engine) as session:
        outbox.send(session, outbox.work.tasks["note"].call(0))
        session.rollback()
    ids = send(outbox, engine, 1, 2, 3)
    assert outbox.relay_once(engine) == 3
    assert [one.id for one in work_queue.enqueued()] == ids
    assert left(outbox, engine) == 0


def test_a_second_relay_passes_over_what_the_first_has_locked(
    outbox: Outbox, engine: Engine, work_queue: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(outbox, engine, 1, 2, 3, 4)
    counts: list[int] = []

    def publish(work: WorkQueue, rows: list[Row], now: int) -> relaying.Result:
        monkeypatch.undo()
        counts.append(outbox.relay_once(engine))
        send(outbox, engine, 5)  # nor does it hold up the program
        return relaying.publish(work, rows, now)

    monkeypatch.setattr("leveret.contrib.sqlalchemy.publish", publish)
    assert outbox.relay_once(engine, limit=2) == 2
    assert counts == [2]
    assert numbers(work_queue) == [3, 4, 1, 2]
    assert outbox.relay_once(engine) == 1


def test_two_relays_at_a_time_send_everything_once(outbox: Outbox, engine: Engine, work_queue: Harness) -> None:
    with outbox.relaying(engine, every_s=0.02), outbox.relaying(engine, every_s=0.02):
        for number in range(0, 200, 10):
            send(outbox, engine, *range(number, number + 10))
    while outbox.relay_once(engine):
        pass
    assert sorted(numbers(work_queue)) == list(range(200))


def test_a_relay_killed_between_publish_and_delete_is_followed_at_once(
    outbox: Outbox, engine: Engine, work_queue: Harness, url: str
) -> None:
    ids = send(outbox, engine, *range(20))
    arguments = [sys.executable, "-c", RELAY, outbox.work.broker_url(), url]
    killed = subprocess.run(arguments, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "published 20\n"), killed.stderr
    assert left(outbox, engine) == 20
    while not outbox.relay_once(engine):  # until the database has noticed that the other one is gone
        pass
    assert [one.id for one in work_queue.enqueued()] == ids + ids
    assert left(outbox, engine) == 0


# ---- Django

DJANGO = "postgres"
assert django_project.PLACE


@pytest.fixture
def relay(work: WorkQueue, work_queue: Harness, engine: Engine) -> Iterator[django_outbox.Relay]:
    """On the same database, as one more of the Django project's."""
    server = {"ENGINE": "django.db.backends.postgresql", "NAME": postgres.DATABASE, "USER": postgres.USER}
    place = str(engine.url.query["host"])
    connections.settings[DJANGO] = {**connections.settings["default"], **server, "HOST": place}
    call_command("migrate", database=DJANGO, verbosity=0)
    yield django_outbox.Relay(work, DJANGO)
    call_command("migrate", "leveret", "zero", database=DJANGO, verbosity=0)
    connections[DJANGO].close()
    del connections[DJANGO], connections.settings[DJANGO]


def test_django_relays_pass_over_what_others_have_locked(
    work: WorkQueue, work_queue: Harness, relay: django_outbox.Relay, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Outbox(work, MetaData())  # on a connection of its own; the table is the same
    with transaction.atomic(using=DJANGO):
        ids = [django_outbox.send(work.tasks["note"].call(number), using=DJANGO).id for number in range(4)]
    counts: list[int] = []

    def publish(work: WorkQueue, rows: list[Row], now: int) -> relaying.Result:
        counts.append(other.relay_once(engine))
        return relaying.publish(work, rows, now)

    monkeypatch.setattr("leveret.contrib.django.outbox.publish", publish)
    assert relay.once(limit=2) == 2
    assert counts == [2]
    assert [one.id for one in work_queue.enqueued()] == [*ids[2:], *ids[:2]]
    assert left(other, engine) == 0
