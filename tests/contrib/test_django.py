"""The outbox as a Django app, on SQLite: sent if committed and only then, at least once, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from contrib.django_project import CONFIGURE
from leveret.contrib import relay as relaying
from leveret.contrib.django.models import OutboxMessage
from leveret.contrib.django.outbox import Relay, bell, send
from leveret.contrib.relay import Row
from leveret.errors import ConnectionLost, TaskError
from leveret.tasks import WorkQueue, chain
from leveret.testing.harness import Harness

WITHIN_S = 60.0


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    call_command("migrate", verbosity=0)
    yield
    OutboxMessage.objects.all().delete()
    connection.close()


class Clock:
    def __init__(self) -> None:
        self.ms = relaying.now_ms()

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def relay(work: WorkQueue, work_queue: Harness, clock: Clock) -> Relay:
    return Relay(work, now=clock)


def send_notes(work: WorkQueue, *numbers: int) -> list[str]:
    with transaction.atomic():
        return [send(work.tasks["note"].call(number)).id for number in numbers]


def numbers(work_queue: Harness) -> list[int]:
    return [one.args[0] for one in work_queue.enqueued()]


def test_the_migration_makes_what_the_models_say() -> None:
    call_command("makemigrations", "leveret", check=True, dry_run=True, verbosity=0)


def test_what_is_committed_is_sent_in_order_and_gone_from_the_table(
    work: WorkQueue, work_queue: Harness, relay: Relay
) -> None:
    ids = send_notes(work, 1, 2, 3)
    assert work_queue.enqueued() == []
    assert relay.once() == 3
    assert [one.id for one in work_queue.enqueued()] == ids
    assert numbers(work_queue) == [1, 2, 3]
    assert (OutboxMessage.objects.count(), relay.once()) == (0, 0)


def test_what_is_rolled_back_is_not_sent_and_wakes_nobody(work: WorkQueue, work_queue: Harness, relay: Relay) -> None:
    rings = bell.rings
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        send(work.tasks["note"].call(1))
        raise ZeroDivisionError
    assert bell.rings == rings
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            send(work.tasks["note"].call(2))
            raise ZeroDivisionError
        send(work.tasks["note"].call(3))
        assert bell.rings == rings
    assert bell.rings == rings + 1
    relay.once()
    assert numbers(work_queue) == [3]


def test_a_delay_counts_from_the_sending(work: WorkQueue, work_queue: Harness, relay: Relay, clock: Clock) -> None:
    send(work.tasks["note"].options(delay=3600).call(1))
    clock.ms += 3_000_000
    relay.once()
    (one,) = work_queue.enqueued()
    assert timedelta(seconds=600) <= one.due < timedelta(seconds=600 + WITHIN_S)


def test_a_relay_whose_broker_is_away_keeps_everything(work: WorkQueue, work_queue: Harness, relay: Relay) -> None:
    ids = send_notes(work, 1, 2)
    url, work.url = work.url, "amqp://127.0.0.1:1"
    work.close()
    with pytest.raises(ConnectionLost):
        relay.once()
    work.url = url
    assert relay.once() == 2
    assert [one.id for one in work_queue.enqueued()] == ids


def test_a_message_that_cannot_be_sent_holds_up_no_other(
    work: WorkQueue, work_queue: Harness, relay: Relay, clock: Clock
) -> None:
    OutboxMessage.objects.create(message_id="x", task="x", queue="x", call=b"{}")
    send_notes(work, 1)
    assert relay.once() == 2
    assert numbers(work_queue) == [1]
    assert relay.once() == 0
    clock.ms += 1_000
    assert relay.once() == 1
    assert OutboxMessage.objects.get().tries == 2


def test_a_workflow_is_refused_for_it_is_no_single_message(work: WorkQueue) -> None:
    with pytest.raises(TaskError, match="have one of your tasks send the workflow"):
        send(chain(work.tasks["note"].call(1)))  # type: ignore[arg-type]


def test_a_result_is_refused_for_the_relay_would_get_it(work: WorkQueue) -> None:
    with pytest.raises(TaskError, match="the relay that gets the result"):
        send(work.tasks["note"].options(result=True).call(1))


def test_one_relay_works_at_a_time(
    work: WorkQueue, work_queue: Harness, relay: Relay, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_notes(work, 1, 2, 3)
    counts: list[int] = []

    def publish(work: WorkQueue, rows: list[Row], now: int) -> relaying.Result:
        counts.append(Relay(work, now=clock).once())
        return relaying.publish(work, rows, now)

    monkeypatch.setattr("leveret.contrib.django.outbox.publish", publish)
    assert relay.once(limit=2) == 2
    monkeypatch.undo()
    assert (counts, relay.once()) == ([0], 1)
    assert numbers(work_queue) == [1, 2, 3]


# ---- the command

PROGRAM = """
import os
from leveret.tasks import WorkQueue, chain
work = WorkQueue(os.environ["BROKER"])
@work.task
def note(number: int) -> None: ...
"""

RELAY = """
import os, signal, sys
from django.core.management import call_command
from leveret.contrib.django import outbox

def publish_and_die(*arguments):
    result = publish(*arguments)
    print("published", len(result.sent), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

publish = outbox.publish
if "die" in sys.argv:
    outbox.publish = publish_and_die
print("ready", flush=True)
call_command("leveret_relay", *[one for one in sys.argv[1:] if one != "die"])
"""


def command(place: Path, work: WorkQueue, *arguments: str) -> subprocess.Popen[str]:
    (place / "program.py").write_text(PROGRAM)
    name = str(settings.DATABASES["default"]["NAME"])
    text = CONFIGURE.format(name=name, app="program:work") + RELAY
    environment = {**os.environ, "BROKER": work.broker_url()}
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments], cwd=place, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_a_relay_killed_between_publish_and_delete_sends_again_under_the_same_ids(
    work: WorkQueue, work_queue: Harness, relay: Relay, clock: Clock, tmp_path: Path
) -> None:
    ids = send_notes(work, *range(20))
    killed = command(tmp_path, work, "die", "--once")
    said, _ = killed.communicate(timeout=WITHIN_S)
    assert (killed.returncode, said) == (-signal.SIGKILL, "ready\npublished 20\n")
    assert OutboxMessage.objects.count() == 20
    clock.ms = relaying.now_ms() + 60_001
    assert relay.once() == 20
    assert [one.id for one in work_queue.enqueued()] == ids + ids
    assert OutboxMessage.objects.count() == 0


def test_the_command_relays_until_it_is_told_to_stop(work: WorkQueue, work_queue: Harness, tmp_path: Path) -> None:
    process = command(tmp_path, work, "--every", "0.02")
    pause = threading.Event()
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        ids = send_notes(work, 1, 2)
        for _ in range(int(WITHIN_S / 0.02)):
            if not OutboxMessage.objects.exists():
                break
            pause.wait(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0
        assert [one.id for one in work_queue.enqueued()] == ids
    finally:
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None


def test_the_command_says_what_it_needs() -> None:
    with pytest.raises(CommandError, match="which WorkQueue"):
        call_command("leveret_relay", "--once", stdout=StringIO())
    with pytest.raises(CommandError, match="no module"):
        call_command("leveret_relay", "--once", "--app", "nowhere_to_be_found:work")


def test_a_relay_whose_database_fails_goes_on(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    outcomes: list[Any] = [DatabaseError("the connection was closed"), 0]

    def once(limit: int) -> int:
        outcome = outcomes.pop(0)
        if not outcomes:
            stop.set()
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)

    monkeypatch.setattr(relay, "once", once)
    relay.run(stop, every_s=0.01)
    assert outcomes == []
