"""The tutorial's programs, as processes, unmodified, on both brokers."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokers import Broker

TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorial"
Spawn = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def spawn(own_broker: Broker) -> Iterator[Spawn]:
    """Starts workers, ready when they say that they wait."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "AMQP_URL": own_broker.url}

    def worker() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(TUTORIAL / "worker.py")], stdout=subprocess.PIPE, text=True, env=environment
        )
        started.append(process)
        assert "Waiting" in line(process)
        return process

    yield worker
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def new_task(broker: Broker, text: str) -> None:
    environment = {**os.environ, "AMQP_URL": broker.url}
    done = subprocess.run(
        [sys.executable, str(TUTORIAL / "new_task.py"), text],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Sent {text}" in done.stdout


def first_to_speak(workers: list[subprocess.Popen[str]]) -> int:
    """Which worker has something to say; everything it said before has been read."""
    outputs = [worker.stdout for worker in workers]
    spoken, _, _ = select.select(outputs, [], [], 60)
    return outputs.index(spoken[0])


def test_three_workers_take_turns_and_a_killed_workers_task_goes_to_another(own_broker: Broker, spawn: Spawn) -> None:
    workers = [spawn() for _ in range(3)]
    turns = []
    for number in range(3):
        new_task(own_broker, f"task {number}")
        turns.append(first_to_speak(workers))
        assert f"Received task {number}" in line(workers[turns[-1]])
        assert "Done" in line(workers[turns[-1]])
    assert sorted(turns) == [0, 1, 2]
    new_task(own_broker, "slow " + "." * 60)
    busy = first_to_speak(workers)
    assert "Received slow" in line(workers[busy])
    workers[busy].send_signal(signal.SIGKILL)
    others = [worker for number, worker in enumerate(workers) if number != busy]
    assert "Received slow" in line(others[first_to_speak(others)])


def test_confirmed_tasks_survive_kill_9_of_the_broker(own_broker: Broker, spawn: Spawn) -> None:
    for number in range(5):
        new_task(own_broker, f"task {number}")
    own_broker.kill()
    own_broker.start()
    worker = spawn()
    for number in range(5):
        assert f"Received task {number}" in line(worker)
        assert "Done" in line(worker)
