"""The programs of the README run as they stand there, on both brokers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from examples.programs import EXAMPLES, leveret_worker

SEND_S = 60
PROGRAMS = re.findall(r"```python\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def no_queue(channel: BlockingChannel) -> None:
    channel.queue_delete("default")


@pytest.fixture
def environment(broker: Broker) -> dict[str, str]:
    return {"LEVERET_URL": broker.url}


def run(file: Path, environment: dict[str, str]) -> str:
    command, variables = [sys.executable, file.name], {**os.environ, **environment}
    done = subprocess.run(
        command, cwd=file.parent, env=variables, capture_output=True, text=True, timeout=SEND_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_are_three_programs() -> None:
    assert len(PROGRAMS) == 3, "a new one needs a test here"


def test_the_first_task(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAMS[0])
    run(tmp_path / "app.py", environment)
    with leveret_worker("app.py", tmp_path, environment) as worker:
        worker.until(lambda line: line == "3")


def test_retries_and_rejections(environment: dict[str, str], tmp_path: Path) -> None:
    head = (
        "from leveret.tasks import WorkQueue\nwork = WorkQueue()\nbusy = lambda url: False\ngone = lambda url: True\n"
    )
    tail = "\nif __name__ == '__main__':\n    fetch.send('http://hare/')\n"
    (tmp_path / "app.py").write_text(head + PROGRAMS[1] + tail)
    run(tmp_path / "app.py", environment)
    with leveret_worker("app.py", tmp_path, environment) as worker:
        worker.until(lambda line: "parked task=fetch" in line and "the page is gone" in line)


def test_results_schedules_and_cancelling(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAMS[2])
    with leveret_worker("app.py", tmp_path, environment) as worker:
        assert run(tmp_path / "app.py", environment) == "6\n"
        worker.until(lambda line: "this worker serves the schedules: tidy" in line)
