"""SIGTSTP makes a worker quiet: nothing new begins, what runs goes on; SIGTERM ends it then. On both brokers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from worker.support import WITHIN_S, Program

MAIN = """
if __name__ == "__main__":
    sys.exit(work.run(threads=1))
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"quiet.{name}", MAIN)
    yield made
    made.close()


@pytest.mark.parametrize("alone", [False, True], ids=["supervised", "its own worker"])
def test_a_quiet_worker_finishes_what_runs_and_takes_nothing(
    program: Program, channel: BlockingChannel, alone: bool
) -> None:
    process, log = program.start("program.py") if alone else program.worker(processes=2, threads=1)
    count = 1 if alone else 2
    for number in range(count):
        program.slow.send(f"t{number}")
        program.started("t")
    process.send_signal(signal.SIGTSTP)
    for _ in range(count):
        log.until("worker quiet running=1")
    program.slow.send("u")
    program.open_gate(count)
    for _ in range(count):
        program.told.until("done t")
        log.until("done task=slow")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN_S) == 0
    log.to_the_end()
    assert channel.basic_get(program.queue, auto_ack=True)[0] is not None


def test_what_takes_the_place_of_a_quiet_process_is_quiet_too(program: Program, channel: BlockingChannel) -> None:
    supervisor, log = program.worker(threads=1)
    program.slow.send("a")
    pid, _ = program.started("a")
    supervisor.send_signal(signal.SIGTSTP)
    log.until("worker quiet running=1")
    os.kill(pid, signal.SIGKILL)
    log.until(f"pid={pid} died")
    log.until("worker quiet running=0")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()
    assert channel.basic_get(program.queue, auto_ack=True)[0] is not None
