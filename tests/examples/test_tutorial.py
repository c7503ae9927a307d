"""The tutorial's programs, with pika and with Leveret's library, as processes, on both brokers and mixed."""

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
SENDERS = ("new_task.py", "leveret_new_task.py")
WORKERS = ("worker.py", "leveret_worker.py")
Spawn = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def spawn(own_broker: Broker) -> Iterator[Spawn]:
    """Starts workers, ready when they say so."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "AMQP_URL": own_broker.url}

    def worker(program: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(TUTORIAL / program)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        if program == "worker.py":
            assert "Waiting" in line(process)
        else:
            assert process.stderr is not None
            assert any("worker ready" in said for said in process.stderr)
        return process

    yield worker
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def new_task(broker: Broker, text: str, program: str = "new_task.py") -> None:
    environment = {**os.environ, "AMQP_URL": broker.url}
    done = subprocess.run(
        [sys.executable, str(TUTORIAL / program), text],
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


@pytest.mark.parametrize("program", WORKERS)
def test_three_workers_take_turns_and_a_killed_workers_task_goes_to_another(
    own_broker: Broker, spawn: Spawn, program: str
) -> None:
    workers = [spawn(program) for _ in range(3)]
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


@pytest.mark.parametrize("program", WORKERS)
def test_confirmed_tasks_of_either_sender_survive_kill_9_of_the_broker(
    own_broker: Broker, spawn: Spawn, program: str
) -> None:
    tasks = [(f"task {number}", sender) for number, sender in enumerate(SENDERS * 2)]
    for text, sender in tasks:
        new_task(own_broker, text, sender)
    own_broker.keep_declared()
    own_broker.kill()
    own_broker.start()
    worker = spawn(program)
    for text, _ in tasks:
        assert f"Received {text}" in line(worker)
        assert "Done" in line(worker)
