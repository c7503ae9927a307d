"""Tasks between Node and Python, both ways, on both brokers: examples/node with amqplib, as its README starts it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from examples.programs import EXAMPLES, Heard, Program, leveret_worker
from leveret.tasks import ladder

MISSING = [program for program in ("node", "npm") if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} is not installed")
QUEUES = ("files", "digests", "digests.dead")
INSTALL_S = 100
SEND_S = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with what npm brings."""
    copy = tmp_path_factory.mktemp("node") / "node"
    shutil.copytree(EXAMPLES / "node", copy, ignore=shutil.ignore_patterns("node_modules", "package-lock.json"))
    command = ["npm", "install", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


@pytest.fixture(autouse=True)
def no_queues(channel: BlockingChannel) -> None:
    """The example's queues have names of their own: nothing of a test before is in them."""
    for queue in QUEUES:
        channel.queue_delete(queue)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def node_worker(broker: Broker, folder: Path, heard: Heard) -> Iterator[Callable[[], Program]]:
    """Starts workers in Node, ready when they say so."""
    started: list[Program] = []

    def worker() -> Program:
        program = Program(["worker.js"], folder, {"AMQP_URL": broker.url}, heard, runner=["node"])
        started.append(program)
        heard.word("ready")
        return program

    yield worker
    for program in started:
        program.kill()


def send(broker: Broker, folder: Path, *command: str, **environment: str) -> list[str]:
    """The ids that a sender of the example prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "AMQP_URL": broker.url, **environment},
        capture_output=True,
        text=True,
        timeout=SEND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.removeprefix("sent ") for line in done.stdout.splitlines()]


def ask_node(broker: Broker, folder: Path, *paths: Path, **environment: str) -> list[str]:
    return send(broker, folder, sys.executable, "ask_node.py", *map(str, paths), **environment)


def make_files(place: Path, count: int) -> list[Path]:
    paths = [place / f"hare {number}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(f"line {number}\n".encode() * 1000)
    return paths


def dead_letter(channel: BlockingChannel) -> tuple[str, dict[str, object]]:
    """The only one: its id and its headers."""
    method, properties, _ = channel.basic_get("digests.dead", auto_ack=True)
    assert method is not None and method.message_count == 0
    return properties.message_id, properties.headers


def test_node_sends_and_a_leveret_worker_works(broker: Broker, folder: Path, tmp_path: Path) -> None:
    files = make_files(tmp_path, 5)
    assert len(send(broker, folder, "node", "send.js", *map(str, files))) == 5
    with leveret_worker("app.py", folder, {"AMQP_URL": broker.url}) as worker:
        compressed = {worker.word("compressed") for _ in files}
    assert compressed == set(map(str, files))
    assert all(gzip.decompress(path.with_suffix(".gz").read_bytes()) == path.read_bytes() for path in files)


def test_what_node_delays_comes_later(broker: Broker, folder: Path, tmp_path: Path) -> None:
    (file,) = make_files(tmp_path, 1)
    with leveret_worker("app.py", folder, {"AMQP_URL": broker.url}) as worker:
        begun = time.monotonic()
        send(broker, folder, "node", "send.js", "--delay", "1.3", str(file))
        assert worker.word("compressed") == str(file)
        assert time.monotonic() - begun >= 1.3


def test_python_sends_and_a_node_worker_works(
    broker: Broker, folder: Path, heard: Heard, node_worker: Callable[[], Program], tmp_path: Path
) -> None:
    files = make_files(tmp_path, 5)
    node_worker()
    assert len(ask_node(broker, folder, *files)) == 5
    said = {heard.word("digest") for _ in files}
    assert said == {f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files}


def test_what_fails_too_often_in_node_is_parked(
    broker: Broker,
    folder: Path,
    heard: Heard,
    channel: BlockingChannel,
    node_worker: Callable[[], Program],
    tmp_path: Path,
) -> None:
    node_worker()
    (sent,) = ask_node(broker, folder, tmp_path / "no hare")
    attempts = [heard.word("failed", sent).split()[0] for _ in range(3)]
    assert attempts == ["1", "2", "3"]
    assert heard.word("parked") == sent
    command = [sys.executable, "-m", "leveret", "dead", "list", "digests", "--url", broker.url]
    listed = subprocess.run(
        command, capture_output=True, text=True, timeout=SEND_S, check=True, env={**os.environ, "COLUMNS": "300"}
    )
    assert sent in listed.stdout and "ENOENT" in listed.stdout
    message_id, headers = dead_letter(channel)
    assert message_id == sent
    assert headers["x-leveret-attempt"] == 3
    assert (headers["x-leveret-reason"], headers["x-leveret-queue"]) == ("attempts", "digests")
    assert headers["x-leveret-exception"] == "Error"
    assert str(headers["x-leveret-error"]).startswith("ENOENT")
    assert headers["x-leveret-first-failure"] <= headers["x-leveret-last-failure"]  # type: ignore[operator]
    assert "x-death" not in headers


def test_what_node_rejects_is_parked_at_once(
    broker: Broker,
    folder: Path,
    heard: Heard,
    channel: BlockingChannel,
    node_worker: Callable[[], Program],
    tmp_path: Path,
) -> None:
    node_worker()
    (sent,) = ask_node(broker, folder, tmp_path / "hare", ALGORITHM="crc")
    assert heard.word("parked") == sent
    message_id, headers = dead_letter(channel)
    assert (message_id, headers["x-leveret-reason"], headers["x-leveret-attempt"]) == (sent, "rejected", 1)


def test_the_task_of_a_killed_node_worker_is_done_by_another(
    broker: Broker, folder: Path, heard: Heard, node_worker: Callable[[], Program], tmp_path: Path
) -> None:
    """The file is a named pipe: that it can be opened for writing says that the worker reads, and waits.

    The other one finds another pipe of that name: the end of the first is not its affair.
    """
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    first = node_worker()
    ask_node(broker, folder, pipe)
    with pipe.open("wb"):
        node_worker()
        pipe.unlink()
        os.mkfifo(pipe)
        first.kill()
    with pipe.open("wb") as other_end:
        other_end.write(b"hare")
    assert heard.word("digest") == f"{pipe} {hashlib.sha256(b'hare').hexdigest()}"


def test_a_node_worker_ends_in_good_order(
    broker: Broker, folder: Path, heard: Heard, node_worker: Callable[[], Program], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = node_worker()
    ask_node(broker, folder, pipe)
    with pipe.open("wb") as other_end:
        worker.process.terminate()
        other_end.write(b"hare")
    assert heard.word("digest").startswith(str(pipe))
    assert worker.process.wait(SEND_S) == 0


def test_a_dead_letter_of_node_is_sent_again_from_the_command_line(
    broker: Broker, folder: Path, heard: Heard, node_worker: Callable[[], Program], tmp_path: Path
) -> None:
    """With all its attempts again."""
    node_worker()
    file = tmp_path / "late hare"
    (sent,) = ask_node(broker, folder, file)
    requeue = [sys.executable, "-m", "leveret", "dead", "requeue", "digests", sent, "--url", broker.url]
    for late in (False, True):
        assert [heard.word("failed", sent).split()[0] for _ in range(3)] == ["1", "2", "3"]
        assert heard.word("parked") == sent
        if late:
            file.write_bytes(b"hare")
        subprocess.run(requeue, capture_output=True, timeout=SEND_S, check=True)
    assert heard.word("digest") == f"{file} {hashlib.sha256(b'hare').hexdigest()}"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_node_worker_ends_with_an_error_when_its_broker_does(
    own_broker: Broker, folder: Path, heard: Heard, end: str
) -> None:
    worker = Program(["worker.js"], folder, {"AMQP_URL": own_broker.url}, heard, runner=["node"])
    try:
        heard.word("ready")
        getattr(own_broker, end)()
        assert worker.process.wait(SEND_S) == 1
    finally:
        worker.kill()


@pytest.mark.parametrize(
    ("task", "body", "headers", "reason"),
    [
        ("nobody", b"{}", {}, "unknown-task"),
        ("toString", b"{}", {}, "unknown-task"),
        ("digest", b"no JSON", {}, "arguments"),
        ("digest", b"[]", {}, "arguments"),
        ("digest", b"{}", {"x-leveret-crashes": 6}, "crashes"),
        ("digest", b"{}", {"x-leveret-workflow": "flow"}, "workflow"),
    ],
)
def test_node_parks_what_it_cannot_run(
    channel: BlockingChannel,
    heard: Heard,
    node_worker: Callable[[], Program],
    task: str,
    body: bytes,
    headers: dict[str, Any],
    reason: str,
) -> None:
    node_worker()
    properties = pika.BasicProperties(type=task, message_id="hare", delivery_mode=2, headers=headers)
    channel.basic_publish("", "digests", body, properties)
    assert heard.word("parked") == "hare"
    message_id, said = dead_letter(channel)
    assert (message_id, said["x-leveret-reason"], said["x-leveret-queue"]) == ("hare", reason, "digests")


def test_node_sends_a_long_delay_round_again(
    channel: BlockingChannel, heard: Heard, node_worker: Callable[[], Program], tmp_path: Path
) -> None:
    (file,) = make_files(tmp_path, 1)
    node_worker()
    headers = {"x-leveret-wait": 700, "x-of-mine": "kept"}
    properties = pika.BasicProperties(type="digest", message_id="hare", delivery_mode=2, headers=headers)
    begun = time.monotonic()
    channel.basic_publish("", "digests", json.dumps({"args": [str(file)]}).encode(), properties)
    assert heard.word("digest").startswith(str(file))
    assert time.monotonic() - begun >= 0.7


def test_node_and_python_go_down_the_same_ladder(folder: Path) -> None:
    queues = ["digests", "a.b", "hare & hound", "Hase/ä", "!*'()~-_"]
    delays = [1, 99, 100, 101, 3_000, 86_400_000, ladder.HIGHEST_MS, ladder.HIGHEST_MS + 1, 2 * ladder.HIGHEST_MS]
    program = """
import { descent } from './leveret.js';
const [queues, delays] = JSON.parse(process.argv[1]);
console.log(JSON.stringify(queues.map((queue) => delays.map((delay) => descent(queue, delay)))));
"""
    command = ["node", "--input-type=module", "-e", program, json.dumps([queues, delays])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SEND_S, check=False)
    assert done.returncode == 0, done.stderr
    for queue, descents in zip(queues, json.loads(done.stdout), strict=True):
        for delay, found in zip(delays, descents, strict=True):
            expected = ladder.descent(queue, delay)
            assert (found["rung"], found["key"]) == (expected.rung, expected.routing_key)
            assert found["leftMs"] == expected.left_ms
