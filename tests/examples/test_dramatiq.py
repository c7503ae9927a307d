"""Dramatiq, unchanged, doing real work on both brokers: retries, delays, dead letters, nothing lost when workers and broker go.

The application is examples/dramatiq_app/archive_actors.py. Messages are sent from this process through its own broker object.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import dramatiq
import pytest

from brokers import Broker
from examples.programs import EXAMPLES, Heard, Program

FOLDER = EXAMPLES / "dramatiq_app"
Spawn = Callable[[], Program]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def spawn(own_broker: Broker, heard: Heard, tmp_path: Path) -> Iterator[Spawn]:
    """Starts workers, ready when they say so."""
    started: list[Program] = []
    # Dramatiq waits so long before it consumes again after its connection is gone.
    environment = {"AMQP_URL": own_broker.url, "dramatiq_restart_delay": "500"}

    def worker() -> Program:
        command = ["dramatiq", "--path", str(FOLDER), "--processes", "1", "--threads", "2", "archive_actors"]
        program = Program(command, tmp_path, environment, heard)
        started.append(program)
        heard.until(lambda line: "is ready for action" in line)
        return program

    yield worker
    for program in started:
        program.kill()


@pytest.fixture
def archive(own_broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The application as a producer imports it."""
    monkeypatch.setenv("AMQP_URL", own_broker.url)
    before = dramatiq.broker.global_broker
    spec = importlib.util.spec_from_file_location("archive_actors", FOLDER / "archive_actors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.broker.close()
    dramatiq.broker.global_broker = before


def make_files(place: Path, count: int) -> list[Path]:
    paths = [place / f"file{number}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(f"line {number}\n".encode() * 1000 * (number + 1))
    return paths


def is_compressed(path: Path) -> bool:
    target = path.with_suffix(".gz")
    return target.exists() and gzip.decompress(target.read_bytes()) == path.read_bytes()


def wait_for(files: list[Path], heard: Heard) -> None:
    missing = {path for path in files if not is_compressed(path)}
    while missing:
        missing.discard(Path(heard.word("compressed")))
    assert all(is_compressed(path) for path in files)


def test_every_file_is_compressed(archive: ModuleType, spawn: Spawn, heard: Heard, tmp_path: Path) -> None:
    spawn()
    files = make_files(tmp_path, 30)
    for path in files:
        archive.compress.send(str(path))
    wait_for(files, heard)


def test_a_message_is_retried_through_the_delay_queue(
    archive: ModuleType, spawn: Spawn, heard: Heard, tmp_path: Path
) -> None:
    spawn()
    late = tmp_path / "late"
    archive.compress_when_there.send(str(late))
    for _ in range(3):
        heard.word("missing", str(late))
    part = tmp_path / "part"
    part.write_bytes(b"here I am")
    part.rename(late)  # there with all that is in it
    assert heard.word("compressed") == str(late)
    assert is_compressed(late)


def test_a_delay_is_kept(archive: ModuleType, spawn: Spawn, heard: Heard) -> None:
    spawn()
    begun = time.time()
    archive.clock.send_with_options(delay=1_000)
    archive.clock.send()
    at_once, delayed = (float(heard.word("clock")) - begun for _ in range(2))
    assert 0 <= at_once < delayed
    assert delayed >= 1


def test_what_fails_too_often_is_dead_lettered(
    archive: ModuleType, spawn: Spawn, own_broker: Broker, heard: Heard, tmp_path: Path
) -> None:
    spawn()
    never = tmp_path / "never"
    archive.compress_or_give_up.send(str(never))
    for _ in range(3):
        heard.word("attempt", str(never))
    with own_broker.connect() as connection:
        # A consumer, for it waits; dead-lettering takes its time.
        for _, properties, body in connection.channel().consume("archive.XQ", inactivity_timeout=60):
            assert body is not None, "nothing was dead-lettered"
            assert json.loads(body)["args"] == [str(never)]
            death = properties.headers["x-death"][0]
            assert (death["queue"], death["reason"], death["count"]) == ("archive", "rejected", 1)
            break


def test_the_message_of_a_killed_worker_is_done_by_another(
    archive: ModuleType, spawn: Spawn, heard: Heard, tmp_path: Path
) -> None:
    first = spawn()
    go = tmp_path / "go"
    archive.hold.send(str(go))
    holder = heard.word("holding")
    spawn()
    first.kill()
    finisher = heard.word("holding")
    assert finisher != holder
    go.touch()
    assert heard.word("held") == finisher


def test_nothing_is_lost_when_the_broker_restarts_in_the_middle(
    archive: ModuleType, spawn: Spawn, own_broker: Broker, heard: Heard, tmp_path: Path
) -> None:
    files = make_files(tmp_path, 40)
    spawn()
    for path in files[:25]:
        archive.compress.send(str(path))
    for _ in range(3):
        heard.word("compressed")
    own_broker.restart()
    for path in files[25:]:
        archive.compress.send(str(path))
    wait_for(files, heard)
