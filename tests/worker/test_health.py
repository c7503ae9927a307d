"""What a worker tells those who watch it over HTTP: health, readiness, metrics. On both brokers."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import Broker, free_port
from leveret.worker.counts import Count
from leveret.worker.overview import RESPONSIVE_S, Overview, Seen, as_json, as_metrics
from leveret.worker.status import Status
from worker.support import WITHIN_S, Program

MORE = """
@work.task(retry=Retries(2, first_s=0))
def fails() -> None:
    raise ValueError("no good")

@work.task
def fine() -> None: ...

if __name__ == "__main__":
    sys.exit(work.run(health_port=int(sys.argv[1]), threads=2))
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def make_program(name: str, tmp_path: Path) -> Iterator[Callable[[Broker], Program]]:
    made: list[Program] = []

    def make(broker: Broker) -> Program:
        made.append(Program(tmp_path, broker.url, f"health.{name}", MORE))
        return made[-1]

    yield make
    for program in made:
        program.close()


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask_until(port: int, path: str, wanted: Callable[[int, str], bool]) -> str:
    """Asked again until it is so: who is asked learns of it in its own time."""
    pause = threading.Event()
    for _ in range(int(WITHIN_S / 0.05)):
        try:
            code, text = ask(port, path)
        except OSError:
            code, text = 0, ""
        if wanted(code, text):
            return text
        pause.wait(0.05)
    raise AssertionError(f"{path} at last: {code} {text}")


def value(metrics: str, name: str, task: str = "") -> float:
    """The sum of a family, or of what it says of a task."""
    found = re.findall(rf"^{name}(\{{.*\}})? ([0-9.]+)$", metrics, re.MULTILINE)
    return sum(float(number) for labels, number in found if not task or f'task="{task}"' in labels)


def good(code: int, _: str) -> bool:
    return code == 200


def bad(code: int, _: str) -> bool:
    return code == 503


def test_a_supervisor_tells_of_all_its_processes(
    broker: Broker, make_program: Callable[[Broker], Program], port: int
) -> None:
    program = make_program(broker)
    supervisor, log = program.worker(processes=2, threads=3, health_port=port)
    health = json.loads(ask_until(port, "/health", good))
    ask_until(port, "/ready", good)
    assert len(health["processes"]) == 2
    program.slow.send("a")
    pid, _ = program.started("a")
    busy = ask_until(port, "/health", lambda _, text: '"task":"slow"' in text)
    [one] = [process for process in json.loads(busy)["processes"] if process["busy"]]
    assert (one["pid"], one["slots"], one["queues"]) == (pid, 3, [program.queue])
    assert one["connected"] and one["responsive"] and one["started"]
    assert one["oldest_running"]["for_s"] >= 0
    assert ask(port, "/nothing")[0] == 404
    assert ask(port, "/health", "POST")[0] == 405
    program.open_gate()
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_metrics_are_sums_over_processes_also_over_those_that_are_gone(
    broker: Broker, make_program: Callable[[Broker], Program], port: int
) -> None:
    program = make_program(broker)
    supervisor, log = program.worker(processes=2, threads=2, health_port=port)
    ask_until(port, "/health", good)
    fine, fails = (program.work.task(name=name)(lambda: None) for name in ("fine", "fails"))
    program.work.send_many([fine.call() for _ in range(20)])
    fails.send()
    program.slow.send("a")
    pid, _ = program.started("a")
    metrics = ask_until(
        port,
        "/metrics",
        lambda _, text: (
            value(text, "leveret_tasks_done_total", "fine") == 20
            and value(text, "leveret_tasks_parked_total") == 1
            and value(text, "leveret_tasks_running", "slow") == 1
        ),
    )
    assert value(metrics, "leveret_tasks_failed_total", "fails") == 2
    assert value(metrics, "leveret_tasks_retried_total", "fails") == 1
    assert value(metrics, "leveret_worker_slots") == 4
    assert f'queue="{program.queue}",task="fine"' in metrics
    os.kill(pid, signal.SIGKILL)
    program.started("a")
    program.open_gate()
    metrics = ask_until(
        port,
        "/metrics",
        lambda _, text: (
            value(text, "leveret_tasks_done_total", "slow") == 1 and value(text, "leveret_worker_restarts_total") == 1
        ),
    )
    assert value(metrics, "leveret_tasks_done_total", "fine") == 20
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_without_its_broker_it_is_not_healthy_until_that_is_back(
    own_broker: Broker, make_program: Callable[[Broker], Program], port: int
) -> None:
    program = make_program(own_broker)
    supervisor, log = program.worker(health_port=port)
    ask_until(port, "/health", good)
    own_broker.stop()
    ask_until(port, "/health", bad)
    ask_until(port, "/ready", bad)
    own_broker.start()
    ask_until(port, "/health", good)
    ask_until(port, "/ready", good)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_a_quiet_worker_is_healthy_but_not_ready(
    broker: Broker, make_program: Callable[[Broker], Program], port: int
) -> None:
    program = make_program(broker)
    supervisor, log = program.worker(health_port=port)
    ask_until(port, "/ready", good)
    supervisor.send_signal(signal.SIGTSTP)
    ask_until(port, "/ready", bad)
    assert ask(port, "/health")[0] == 200
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_a_stopped_process_is_found_out(broker: Broker, make_program: Callable[[Broker], Program], port: int) -> None:
    """SIGSTOP: it is there, and connected, and does nothing."""
    program = make_program(broker)
    supervisor, log = program.worker(health_port=port)
    health = json.loads(ask_until(port, "/health", good))
    pid = health["processes"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    ask_until(port, "/health", bad)
    os.kill(pid, signal.SIGCONT)
    ask_until(port, "/health", good)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_a_program_that_is_its_own_worker_tells_of_itself(
    broker: Broker, make_program: Callable[[Broker], Program], port: int
) -> None:
    program = make_program(broker)
    process, log = program.start("program.py", str(port))
    health = json.loads(ask_until(port, "/health", good))
    assert [one["pid"] for one in health["processes"]] == [process.pid]
    ask_until(port, "/ready", good)
    assert value(ask(port, "/metrics")[1], "leveret_worker_slots") == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN_S) == 0
    log.to_the_end()


def test_a_port_that_is_taken_is_said_at_once(
    broker: Broker, make_program: Callable[[Broker], Program], port: int
) -> None:
    program = make_program(broker)
    process, log = program.start("-m", "leveret", "worker", "program.py", "--health-port", str(broker.port))
    assert process.wait(WITHIN_S) == 2
    assert any("health endpoint cannot listen" in line for line in log.to_the_end())


def status(**other: Any) -> Status:
    given: dict[str, Any] = {"pid": 1, "started_s": 0, "connected": True, "ready": True, "queues": [], "slots": 1}
    return Status(**{**given, "busy": 0, "oldest": None, "counts": [], **other})


def test_one_process_that_is_not_well_makes_the_whole_not_healthy() -> None:
    well = Seen(1, status(), 0.0)
    for ill in (Seen(2, None, 0.0), Seen(2, status(), RESPONSIVE_S), Seen(2, status(connected=False), 0.0)):
        overview = Overview([well, ill], [], 0)
        assert (overview.healthy, overview.ready) == (False, True)
        assert as_json(overview)["processes"][1]["ready"] is False
    assert not Overview([Seen(1, status(ready=False), 0.0)], [], 0).ready


def test_names_are_escaped_as_prometheus_wants_it() -> None:
    text = as_metrics(Overview([], [Count('a"b\\c\nd', "t", done=1)], 0))
    assert 'leveret_tasks_done_total{queue="a\\"b\\\\c\\nd",task="t"} 1\n' in text
