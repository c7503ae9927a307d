"""`leveret trace` on both brokers: what happens to tasks that match, a line each, as long as somebody listens."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from brokers import Broker
from leveret.cli.main import application
from leveret.cli.trace import row
from leveret.tasks import Retries, WorkQueue
from leveret.tasks.events import Beat, Progressed, Retried, Started
from worker.support import WITHIN_S, working


@contextmanager
def tracing(broker: Broker, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that listens, when this begins."""
    command = [sys.executable, "-m", "leveret", "trace", "--url", broker.url, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "listening" in process.stderr.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def program(url: str, name: str) -> WorkQueue:
    work = WorkQueue(url, name=name, default_queue=f"trace.{name}", retry=Retries(1))

    @work.task(name="good")
    def good() -> None: ...

    @work.task(name="bad")
    def bad() -> None:
        raise ValueError("no\x1bgood")

    return work


def sent_once_somebody_listens(work: WorkQueue, *names: str) -> None:
    """Workers learn by a beat that somebody listens, and so does the test."""
    with work.events("worker", timeout_s=WITHIN_S) as beats:
        seen: set[str] = set()
        for beat in beats:  # the second beat of a worker comes after the first was taken by a queue
            if work.default_queue in getattr(beat, "queues", ()):
                if beat.worker in seen:
                    break
                seen.add(beat.worker)
    for name in names:
        work.tasks[name].send()


def test_what_happens_to_the_tasks_that_match_is_told_line_by_line(broker: Broker, name: str) -> None:
    work = program(broker.url, name)
    asked = ["--queue", work.default_queue, "--task", "bad", "--formatter", "json", "--limit", "3"]
    with working(work, threads=1), tracing(broker, *asked) as process:
        sent_once_somebody_listens(work, "good", "bad")
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert process.wait(WITHIN_S) == 0
    assert [event["event"] for event in events] == ["started", "failed", "parked"]
    assert {event["task"] for event in events} == {"bad"}
    assert (events[2]["reason"], events[2]["error"]) == ("attempts", "no\x1bgood")


def test_as_csv_each_has_the_same_columns_and_as_text_nothing_steers_the_terminal(broker: Broker, name: str) -> None:
    work = program(broker.url, name)
    of_one = ["--queue", work.default_queue, "--kind", "parked", "--limit", "1"]
    with (
        working(work, threads=1),
        tracing(broker, *of_one, "--formatter", "csv") as as_csv,
        tracing(broker, *of_one) as as_text,
    ):
        sent_once_somebody_listens(work, "good", "bad")
        (told,) = csv.DictReader(io.StringIO(as_csv.communicate(timeout=WITHIN_S)[0]))
        text = as_text.communicate(timeout=WITHIN_S)[0]
    assert (told["event"], told["queue"], told["task"]) == ("parked", work.default_queue, "bad")
    assert "parked" in text and "ValueError: no\\x1bgood" in text and "\x1b" not in text


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (Started(task="t"), ""),
        (Progressed(done=1, total=4, text="first"), "1 of 4 first"),
        (Retried(delay_s=60, exception="E", error="e"), "again in 1 min 0 s; E: e"),
        (Beat(state="quiet", busy=1, slots=3, queues=["a", "b"]), "quiet, 1 of 3 busy"),
    ],
)
def test_the_rest_of_an_event_is_told_in_a_few_words(event: Started, detail: str) -> None:
    assert row(event)["detail"] == detail


def test_an_event_that_there_is_not_is_refused() -> None:
    result = CliRunner().invoke(application(), ["trace", "--kind", "born"])
    assert result.exit_code == 2
