"""Celery, unchanged, doing real work on both brokers: results, retries, ETA, and nothing lost when workers and broker go.

The application is examples/celery_app/archive.py. Tasks are sent from this process with the application's own settings.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from brokers import Broker
from examples.programs import ANSWER_S, EXAMPLES, Heard, Program

FOLDER = EXAMPLES / "celery_app"
Spawn = Callable[..., Program]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def spawn(own_broker: Broker, heard: Heard, tmp_path: Path) -> Iterator[Spawn]:
    """Starts workers, ready when they say so."""
    started: list[Program] = []

    def worker(*options: str) -> Program:
        name = f"worker{len(started)}@here"
        command = ["celery", "--workdir", str(FOLDER), "-A", "archive", "worker", "-n", name, "-l", "info"]
        options = options or ("--concurrency", "2")
        program = Program([*command, *options], tmp_path, {"AMQP_URL": own_broker.url}, heard)
        started.append(program)
        heard.until(lambda line: f"{name} ready" in line)
        return program

    yield worker
    for program in started:
        program.kill()


@pytest.fixture
def archive(own_broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The application as a producer imports it."""
    monkeypatch.setenv("AMQP_URL", own_broker.url)
    spec = importlib.util.spec_from_file_location("archive", FOLDER / "archive.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.app.close()


def make_files(place: Path, count: int, begin: str = "file") -> list[Path]:
    paths = [place / f"{begin}{number}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(f"line {number}\n".encode() * 1000 * (number + 1))
    return paths


def is_compressed(path: Path) -> bool:
    target = path.with_suffix(".gz")
    return target.exists() and gzip.decompress(target.read_bytes()) == path.read_bytes()


def test_results_come_back_over_rpc(archive: ModuleType, spawn: Spawn, tmp_path: Path) -> None:
    spawn()
    files = make_files(tmp_path, 30)
    sent = [archive.compress.delay(str(path)) for path in files]
    digests = [result.get(timeout=ANSWER_S) for result in sent]
    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    assert all(is_compressed(path) for path in files)


def test_a_task_is_retried_until_it_succeeds(archive: ModuleType, spawn: Spawn, heard: Heard, tmp_path: Path) -> None:
    spawn()
    late = tmp_path / "late"
    result = archive.compress_when_there.delay(str(late))
    for attempt in range(3):
        assert heard.word("missing", str(late)) == str(attempt)
    late.write_bytes(b"here I am")
    assert result.get(timeout=ANSWER_S) >= 4
    assert is_compressed(late)


def test_eta_and_countdown_are_kept(archive: ModuleType, spawn: Spawn) -> None:
    """What was sent first is due last."""
    spawn()
    archive.clock.delay().get(timeout=ANSWER_S)  # the first one connects, which takes a second on a busy machine
    eta = time.time() + 3
    late = archive.clock.apply_async(eta=datetime.fromtimestamp(eta, UTC))
    sent = time.time()
    soon = archive.clock.apply_async(countdown=1)
    ran = [result.get(timeout=ANSWER_S) for result in (soon, late)]
    assert sent + 1 <= ran[0] < ran[1]
    assert ran[1] >= eta


def test_the_task_of_a_killed_worker_is_done_by_another(
    archive: ModuleType, spawn: Spawn, heard: Heard, tmp_path: Path
) -> None:
    first = spawn("--pool", "solo")
    go = tmp_path / "go"
    result = archive.hold.delay(str(go))
    holder = heard.word("holding")
    assert int(holder) == first.process.pid
    second = spawn("--pool", "solo")
    first.kill()
    assert int(heard.word("holding")) == second.process.pid
    go.touch()
    assert result.get(timeout=ANSWER_S) == second.process.pid


def test_nothing_is_lost_when_the_broker_restarts_in_the_middle(
    archive: ModuleType, spawn: Spawn, own_broker: Broker, heard: Heard, tmp_path: Path
) -> None:
    """Results over rpc:// go with the connection that waits for them, as on RabbitMQ; the work itself does not."""
    files = make_files(tmp_path, 40)
    spawn()
    for path in files[:25]:
        archive.compress.apply_async([str(path)], ignore_result=True)
    for _ in range(3):
        heard.word("compressed")
    own_broker.restart()
    for path in files[25:]:
        archive.compress.apply_async([str(path)], ignore_result=True)
    missing = {path for path in files if not is_compressed(path)}
    while missing:
        missing.discard(Path(heard.word("compressed")))
    assert all(is_compressed(path) for path in files)
