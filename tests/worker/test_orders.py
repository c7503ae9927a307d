"""Orders over the broker: one worker process, or all, fall quiet, go on, or stop and are not replaced. On both brokers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from leveret.client import connect
from leveret.tasks.events import Beat
from leveret.tasks.listener import BlockingListener
from leveret.tasks.orders import CONTROL, Order, quiet_workers, read_order, resume_workers, stop_workers
from worker.support import WITHIN_S, Program, until_ready

MAIN = """
if __name__ == "__main__":
    sys.exit(work.run(threads=1))
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"orders.{name}", MAIN)
    yield made
    made.close()


@pytest.fixture
def beats(broker: Broker) -> Iterator[BlockingListener]:
    with BlockingListener(broker.url, ("worker",), (), "test", WITHIN_S) as listener:
        yield listener


def order(broker: Broker, tell: Any, *workers: str) -> None:
    async def main() -> None:
        async with await connect(broker.url) as connection:
            await tell(connection, list(workers) or None)

    asyncio.run(main())


def workers_of(program: Program, beats: BlockingListener, count: int) -> list[Beat]:
    """The processes that read its queue, by their places."""
    found: dict[str, Beat] = {}
    for beat in beats:
        if isinstance(beat, Beat) and program.queue in beat.queues:
            found[beat.worker] = beat
            if len(found) == count:
                break
    return sorted(found.values(), key=lambda beat: beat.place)


def test_one_of_two_processes_falls_quiet_and_goes_on(
    program: Program, broker: Broker, beats: BlockingListener, channel: BlockingChannel
) -> None:
    supervisor, log = program.worker(processes=2, threads=1)
    first, second = workers_of(program, beats, 2)
    assert (first.place, second.place) == (1, 2)
    assert first.supervisor == second.supervisor == f"{first.host}:{supervisor.pid}"
    order(broker, quiet_workers, first.worker)
    log.until("worker quiet running=0")
    program.slow.send("a")
    assert program.started("a")[0] == second.pid
    program.slow.send("b")
    until_ready(channel, program.queue, 1)
    order(broker, resume_workers, first.worker)
    assert program.started("b")[0] == first.pid
    program.open_gate(2)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0


def test_a_process_that_was_stopped_is_not_replaced_and_with_the_last_the_supervisor_ends(
    program: Program, broker: Broker, beats: BlockingListener
) -> None:
    supervisor, log = program.worker(processes=2, threads=1)
    first, second = workers_of(program, beats, 2)
    program.slow.send("a")
    runs, _ = program.started("a")
    order(broker, stop_workers, first.worker)
    log.until("worker has the order: stop")
    if runs == first.pid:  # it finishes what it runs
        program.open_gate()
    log.until(f"pid={first.pid} was stopped by an order")
    if runs == second.pid:
        program.open_gate()
    order(broker, stop_workers)
    log.until(f"pid={second.pid} was stopped by an order")
    assert supervisor.wait(WITHIN_S) == 0
    assert sum("started" in line for line in log.to_the_end()) == 2


def test_a_program_that_is_its_own_worker_obeys_too(program: Program, broker: Broker, beats: BlockingListener) -> None:
    process, log = program.start("program.py")
    (beat,) = workers_of(program, beats, 1)
    assert (beat.pid, beat.supervisor, beat.place) == (process.pid, "", 0)
    order(broker, quiet_workers, beat.worker)
    log.until("worker quiet running=0")
    order(broker, stop_workers, "somebody:1:else")
    order(broker, stop_workers, beat.worker)
    assert process.wait(WITHIN_S) == 0


def test_what_takes_the_place_of_a_process_that_was_told_to_be_quiet_is_quiet_until_resumed(
    program: Program, broker: Broker, beats: BlockingListener
) -> None:
    supervisor, log = program.worker(threads=1)
    (beat,) = workers_of(program, beats, 1)
    order(broker, quiet_workers, beat.worker)
    log.until("worker quiet running=0")
    while not any(isinstance(one, Beat) and one.worker == beat.worker and one.state == "quiet" for one in beats):
        pass
    os.kill(beat.pid, signal.SIGKILL)
    log.until(f"pid={beat.pid} died")
    log.until("worker quiet running=0")
    program.slow.send("a")
    order(broker, resume_workers)
    program.started("a")
    program.open_gate()
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"do": "explode"}', b'{"workers": 3}', b'{"look": {}}'])
def test_an_order_that_makes_no_sense_is_none(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_order(body)


def test_a_worker_goes_on_after_an_order_that_cannot_be_read(
    program: Program, broker: Broker, beats: BlockingListener, channel: BlockingChannel
) -> None:
    process, log = program.start("program.py")
    workers_of(program, beats, 1)
    channel.basic_publish(CONTROL, "", b'{"do": "explode"}')
    log.until("an order cannot be read")
    program.slow.send("a")
    program.started("a")
    program.open_gate()
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN_S) == 0


def test_an_order_of_before_reads_as_it_did() -> None:
    assert read_order(b'{"cancel": "x"}') == Order(cancel="x")
    assert msgspec.json.encode(Order(cancel="x")) == b'{"cancel":"x"}'
    assert Order(do="quiet").concerns("anybody") and not Order(do="quiet", workers=[]).concerns("anybody")
