"""RabbitMQ's tutorials in Python: their own programs, as processes, doing what each tutorial's page promises.

Run by `compat.runner`, never by this project's own test run. TUTORIALS is the folder of the programs; the broker is
where they think it is, see `compat/redirect`.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pika.exceptions
import pytest

FOLDER = Path(os.environ["TUTORIALS"])
ANSWER_S = 30.0


class Program:
    """A tutorial's program that stays: its lines are read as they come."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(FOLDER / name), *arguments], stdout=subprocess.PIPE, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def says(self, text: str) -> None:
        """Its next line holds `text`."""
        line = self.lines.get(timeout=ANSWER_S)
        assert text in line

    def is_silent(self) -> None:
        assert self.lines.empty()


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program and waits until it says that it waits."""
    started: list[Program] = []

    def program(name: str, *arguments: str) -> Program:
        started.append(Program(name, *arguments))
        return started[-1]

    yield program
    for one in started:
        one.process.kill()
        one.process.wait()


def run(name: str, *arguments: str) -> str:
    """A tutorial's program that ends."""
    command = [sys.executable, str(FOLDER / name), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=ANSWER_S).stdout


@pytest.fixture
def consumers(start: Start) -> Callable[[str, list[tuple[str, ...]]], list[Program]]:
    """Log receivers, listening: they bind before they say that they wait, and consume right after."""

    def listening(name: str, arguments: list[tuple[str, ...]]) -> list[Program]:
        programs = [start(name, *given) for given in arguments]
        for program in programs:
            program.says("Waiting for")
        return programs

    return listening


def test_one_hello_world(start: Start) -> None:
    receiver = start("receive.py")
    receiver.says("Waiting for messages")
    assert "Sent 'Hello World!'" in run("send.py")
    receiver.says("Received Hello World!")


def test_one_hello_world_sent_first(start: Start) -> None:
    run("send.py")
    receiver = start("receive.py")
    receiver.says("Waiting for messages")
    receiver.says("Received Hello World!")


def test_two_work_queues_take_turns(start: Start) -> None:
    workers = [start("worker.py") for _ in range(2)]
    for worker in workers:
        worker.says("Waiting for messages")
    said = []
    for number in range(4):
        run("new_task.py", f"task {number}")
    for worker in workers:
        for _ in range(2):
            said.append(worker.lines.get(timeout=ANSWER_S))
            worker.says("Done")
    assert sorted(said) == [f"[x] Received task {number}" for number in range(4)]


def test_two_work_queues_a_killed_workers_task_is_done_by_another(start: Start) -> None:
    first = start("worker.py")
    first.says("Waiting for messages")
    run("new_task.py", "long", "." * 25)
    first.says("Received long")
    second = start("worker.py")
    second.says("Waiting for messages")
    first.process.kill()
    second.says("Received long")


def test_three_publish_subscribe(consumers: Callable[..., list[Program]]) -> None:
    receivers = consumers("receive_logs.py", [(), ()])
    assert "Sent info: everyone" in run("emit_log.py", "info:", "everyone")
    for receiver in receivers:
        receiver.says("info: everyone")


def test_four_routing(consumers: Callable[..., list[Program]]) -> None:
    errors, everything = consumers("receive_logs_direct.py", [("error",), ("info", "warning", "error")])
    run("emit_log_direct.py", "info", "started")
    run("emit_log_direct.py", "error", "broken")
    everything.says("info:started")
    everything.says("error:broken")
    errors.says("error:broken")
    errors.is_silent()


def test_five_topics(consumers: Callable[..., list[Program]]) -> None:
    bindings = [("#",), ("kern.*",), ("*.critical",), ("kern.*", "*.critical")]
    everything, kernel, critical, both = consumers("receive_logs_topic.py", bindings)
    run("emit_log_topic.py", "kern.critical", "panic")
    run("emit_log_topic.py", "cron.info", "ran")
    run("emit_log_topic.py", "kern.info", "booted")
    for receiver, keys in (
        (everything, ["kern.critical", "cron.info", "kern.info"]),
        (kernel, ["kern.critical", "kern.info"]),
        (critical, ["kern.critical"]),
        (both, ["kern.critical", "kern.info"]),
    ):
        for key in keys:
            receiver.says(f"{key}:")
        receiver.is_silent()


def test_six_rpc(start: Start) -> None:
    server = start("rpc_server.py")
    server.says("Awaiting RPC requests")
    assert "Got 832040" in run("rpc_client.py")
    server.says("fib(30)")


def test_six_rpc_two_servers(start: Start) -> None:
    servers = [start("rpc_server.py") for _ in range(2)]
    for server in servers:
        server.says("Awaiting RPC requests")
    for _ in range(4):
        assert "Got 832040" in run("rpc_client.py")


def test_seven_publisher_confirms() -> None:
    """The tutorial has no program in Python, so its page is followed here: each publish is confirmed or raises."""
    with pika.BlockingConnection(pika.ConnectionParameters(host="localhost")) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        name = channel.queue_declare("", exclusive=True).method.queue
        for number in range(500):
            channel.basic_publish("", name, str(number).encode(), mandatory=True)
        bodies = [channel.basic_get(name, auto_ack=True)[2] for _ in range(500)]
        assert bodies == [str(number).encode() for number in range(500)]
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", f"no {name}", b"lost", mandatory=True)
