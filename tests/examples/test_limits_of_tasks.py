"""The program of docs/limits-of-tasks.md runs as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from examples.programs import leveret_worker
from examples.snippets import run, runs


@pytest.fixture(autouse=True)
def no_queue(channel: BlockingChannel) -> None:
    channel.queue_delete("mailing")


@runs("limits-of-tasks.md", 0)
def test_the_program_on_the_page(blocks: list[str], broker: Broker, tmp_path: Path) -> None:
    (program,) = blocks
    (tmp_path / "mailing.py").write_text(program)
    environment = {"LEVERET_URL": broker.url}
    assert run(Path("mailing.py"), tmp_path, environment) == "True True\n"
    with leveret_worker("mailing", tmp_path, environment) as worker:
        worker.until(lambda line: line == "resized hare.png of bob")
        before = [line for line in worker.said if line.startswith("resized")]
        assert len(before) < 30
        worker.until(lambda line: line == "resized 99.png of ann")
        while sum(line.startswith("fetched") for line in worker.said) < 5:
            worker.until(lambda line: line.startswith("fetched"))
    assert worker.said.count("reported 2026-11") == 1
    assert worker.said.count("reminded ann") == 1
