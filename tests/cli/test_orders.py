"""`leveret pause`, `resume`, `workers` and `schedules --run …` on both brokers: what they say, and that it is so."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brokers import Broker
from leveret.cli.main import application
from leveret.tasks import WorkQueue
from worker.support import WITHIN_S, Program

Run = Callable[..., str]

SCHEDULE = """
work.schedule("0 3 * * *", name="nightly")(work.task(name="tidy")(lambda: tell("tidied", current_message().id)))
"""


@pytest.fixture
def run(managed_broker: Broker) -> Run:
    """A command with its arguments; what it printed. `code` is the exit code expected."""
    environment = {"LEVERET_URL": managed_broker.url, "LEVERET_MANAGEMENT": managed_broker.management_url}

    def call(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(application(), list(arguments), env=environment)
        assert result.exit_code == code, result.output
        return result.output

    return call


@pytest.fixture
def program(managed_broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, managed_broker.url, f"orders.{name}", SCHEDULE)
    yield made
    made.close()


def until(run: Run, *arguments: str, rows: int) -> list[dict[str, object]]:
    """What the command lists, once it is so many: RabbitMQ's management counts some seconds later."""
    deadline_s = time.monotonic() + WITHIN_S
    while len(found := json.loads(run(*arguments, "--formatter", "json"))) != rows:
        assert time.monotonic() < deadline_s, f"{found} are not {rows}"
    listed: list[dict[str, object]] = found
    return listed


def test_a_queue_is_paused_by_somebody_and_resumed(run: Run, managed_broker: Broker, name: str) -> None:
    work = WorkQueue(managed_broker.url)
    assert run("pause", name, "--by", "the night shift") == f"paused: {name}\n"
    assert work.paused(name)
    (row,) = until(run, "pause", rows=1)
    assert (row["queue"], row["by"]) == (name, "the night shift")
    assert str(row["since"]).startswith("20")
    assert run("resume", name) == f"resumed: {name}\n"
    assert not work.paused(name)
    assert until(run, "pause", rows=0) == []
    work.close()


def test_workers_are_listed_and_told_what_to_do(run: Run, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor, log = program.worker(threads=3)
    log.until("worker ready")
    (row,) = until(run, "workers", "list", rows=1)
    assert (row["state"], row["slots"], row["queues"], row["place"]) == ("running", 3, [program.queue], 1)
    worker = str(row["worker"])
    assert run("workers", "quiet", worker) == f"told to quiet: {worker}\n"
    log.until("worker quiet running=0")
    assert run("workers", "resume", "--all") == "told to resume: all workers\n"
    log.until("worker ready")
    with monkeypatch.context() as patch:
        patch.setattr("leveret.cli.orders.OBEYED_S", 0.1)
        assert "did not within 0.1 s: somebody:1:else;" in run("workers", "quiet", "somebody:1:else", code=1)
    assert run("workers", "stop", worker) == f"told to stop: {worker}\n"
    assert supervisor.wait(WITHIN_S) == 0


@pytest.mark.parametrize("which", [[], ["--all", "somebody:1:else"]])
def test_workers_have_to_be_named_or_all_of_them_be_meant(which: list[str]) -> None:
    result = CliRunner().invoke(application(), ["workers", "stop", *which])
    assert result.exit_code == 2 and "--all" in result.output


def test_schedules_are_listed_without_the_program_sent_now_and_paused(run: Run, program: Program) -> None:
    supervisor, log = program.worker(threads=1)
    log.until("serves the schedules")
    (row,) = until(run, "schedules", rows=1)
    assert (row["program"], row["name"], row["task"], row["state"]) == ("leveret", "nightly", "tidy", "")
    assert row["when"] == "At 03:00 every day (UTC)" and "T03:00:00+00:00" in str(row["next"])
    id = run("schedules", "--run", "nightly").removeprefix("sent: ").strip()
    assert program.told.until("tidied").split()[1] == id
    assert run("schedules", "--pause", "nightly") == "paused: nightly\n"
    assert until(run, "schedules", rows=1)[0]["state"] == "paused"
    assert run("schedules", "--resume", "nightly") == "resumed: nightly\n"
    assert until(run, "schedules", rows=1)[0]["state"] == ""
    assert "has no schedule 'hourly'" in run("schedules", "--run", "hourly", code=1)
    assert "one at a time" in run("schedules", "--run", "a", "--pause", "b", code=2)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
