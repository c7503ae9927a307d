"""Figures for Prometheus, of real workers on both brokers, as they are scraped: from one process, and from several by one port."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from prometheus_client import CollectorRegistry

from brokers import Broker, free_port
from leveret.contrib.prometheus import OTHERS, TASKS_MAX, Prometheus
from leveret.tasks import Outgoing, Retries, WorkQueue, current_task
from worker.support import WITHIN_S, Program, declare, until, working


def scraped(port: int) -> dict[str, float]:
    """Every sample, by its name with labels; nothing if nobody serves."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WITHIN_S) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in samples}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def work(broker: Broker, name: str, registry: CollectorRegistry) -> WorkQueue:
    return WorkQueue(
        broker.url,
        default_queue=f"prom.{name}",
        retry=Retries(2, first_s=0),
        middleware=[Prometheus(registry=registry)],
    )


class Samples:
    def __init__(self, registry: CollectorRegistry, queue: str) -> None:
        self._registry, self._queue = registry, queue

    def __call__(self, name: str, task: str, **labels: str) -> float:
        value = self._registry.get_sample_value(name, {"task": task, "queue": self._queue, **labels})
        return 0.0 if value is None else value


@pytest.mark.parametrize("is_async", [False, True])
def test_each_end_is_counted_by_task_queue_and_outcome(
    work: WorkQueue, registry: CollectorRegistry, is_async: bool
) -> None:
    value = Samples(registry, work.default_queue)

    def fail() -> None:
        raise ValueError

    async def fail_async() -> None:
        raise ValueError

    one = work.task(name="one")(lambda: 1)
    work.task(name="fail")(fail_async if is_async else fail).send()
    work.send_many([one.call() for _ in range(3)])
    other = WorkQueue(work.url, default_queue=work.default_queue)
    other.task(name="unknown")(lambda: None).send()
    other.close()
    with working(work):
        until(lambda: value("leveret_tasks_ended_total", "unknown", outcome="parked") == 1)
        until(lambda: value("leveret_tasks_ended_total", "fail", outcome="parked") == 1)
        until(lambda: value("leveret_tasks_ended_total", "one", outcome="done") == 3)
    assert value("leveret_tasks_ended_total", "fail", outcome="failed") == 1
    assert value("leveret_tasks_sent_total", "one") == 3 and value("leveret_tasks_sent_total", "fail") == 1
    assert value("leveret_task_run_seconds_count", "one") == 3
    assert value("leveret_task_run_seconds_count", "fail") == 2
    assert value("leveret_task_wait_seconds_count", "fail") == 1, "of its first attempt alone"
    assert value("leveret_task_run_seconds_count", "unknown") == 0
    assert value("leveret_tasks_running", "one") == value("leveret_tasks_running", "fail") == 0


def test_what_runs_is_seen(work: WorkQueue, registry: CollectorRegistry) -> None:
    value = Samples(registry, work.default_queue)
    begun: SimpleQueue[int] = SimpleQueue()
    goes_on = threading.Event()

    @work.task
    def slow() -> None:
        begun.put(current_task().attempt)
        assert goes_on.wait(WITHIN_S)

    slow.send()
    with working(work):
        assert begun.get(timeout=WITHIN_S) == 1
        assert value("leveret_tasks_running", "slow") == 1
        goes_on.set()
        until(lambda: value("leveret_tasks_running", "slow") == 0)


def test_waiting_is_counted_from_when_the_delay_is_over(registry: CollectorRegistry) -> None:
    before_ms = time.time_ns() // 1_000_000
    outgoing = Outgoing("one", "", "q", 60_000, {})
    Prometheus(registry=registry).send(outgoing)
    due_ms = outgoing.headers["x-leveret-due"]
    assert isinstance(due_ms, int)
    assert before_ms <= due_ms - 60_000 <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("due", ["soon", 2**63 - 1, -1, None])
def test_messages_of_others_are_counted_whatever_their_headers(
    work: WorkQueue, registry: CollectorRegistry, channel: BlockingChannel, due: object
) -> None:
    value = Samples(registry, work.default_queue)
    work.task(name="one")(lambda: 1)
    headers = {} if due is None else {"x-leveret-due": due}
    with working(work):
        declare(channel, work.default_queue)
        channel.basic_publish("", work.default_queue, b"{}", pika.BasicProperties(type="one", headers=headers))
        until(lambda: value("leveret_tasks_ended_total", "one", outcome="done") == 1)


def test_names_that_others_make_up_do_not_fill_the_memory(registry: CollectorRegistry) -> None:
    prometheus = Prometheus(registry=registry)
    for number in range(TASKS_MAX + 10):
        prometheus.send(Outgoing(f"task{number}", "", "q", 0, {}))
    assert registry.get_sample_value("leveret_tasks_sent_total", {"task": OTHERS, "queue": "q"}) == 10


def test_a_worker_serves_them_before_its_first_task(broker: Broker, name: str, registry: CollectorRegistry) -> None:
    port = free_port()
    work = WorkQueue(broker.url, default_queue=f"prom.{name}", middleware=[Prometheus(port, registry=registry)])
    one = work.task(name="one")(lambda: 1)
    assert not answers(port), "whoever merely sends serves nothing"
    with working(work):
        until(lambda: answers(port))
        one.send()
        key = f'leveret_tasks_ended_total{{outcome="done",queue="{work.default_queue}",task="one"}}'
        assert until(lambda: scraped(port).get(key)) == 1


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WITHIN_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


MORE = """
from leveret.contrib.prometheus import Prometheus
work.middleware = (Prometheus({port}),)
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    (tmp_path / "figures").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "figures"))
    made = Program(tmp_path, broker.url, f"prom.{name}", MORE.format(port=port))
    yield made
    made.close()


def test_one_process_answers_for_all_and_another_when_it_is_killed(program: Program, port: int) -> None:
    program.worker(processes=2, threads=1)
    pids = set()
    for task in "ab":
        program.slow.send(task)
        pids.add(program.started(task)[0])
    assert len(pids) == 2
    running = re.compile(r"leveret_tasks_running\{.*\}")

    def runs() -> float:
        return sum(value for name, value in scraped(port).items() if running.fullmatch(name))

    until(lambda: runs() == 2)
    program.open_gate(2)
    for _ in range(2):
        program.told.until("done")
    until(lambda: runs() == 0)
    until(lambda: ended(port) == 2)
    program.slow.send("c")
    killed, _ = program.started("c")
    until(lambda: runs() == 1)
    os.kill(killed, signal.SIGKILL)
    program.started("c")
    until(lambda: ended(port) == 2 and runs() == 1)  # of the two that began with c one is dead
    program.open_gate()
    program.told.until("done c")
    until(lambda: ended(port) == 3 and runs() == 0)


def ended(port: int) -> float:
    return sum(value for name, value in scraped(port).items() if name.startswith("leveret_tasks_ended_total"))
