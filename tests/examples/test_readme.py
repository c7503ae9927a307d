"""The programs of the README run as they stand there, on both brokers."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.programs import leveret_worker
from examples.snippets import run, runs

pytestmark = pytest.mark.usefixtures("no_queue")


@runs("README.md", 0)
def test_the_first_task(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks[0])
    run(tmp_path / "app.py", tmp_path, environment)
    with leveret_worker("app.py", tmp_path, environment) as worker:
        worker.until(lambda line: line == "3")


@runs("README.md", 1)
def test_retries_and_rejections(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    head = (
        "from leveret.tasks import WorkQueue\nwork = WorkQueue()\nbusy = lambda url: False\ngone = lambda url: True\n"
    )
    tail = "\nif __name__ == '__main__':\n    fetch.send('http://hare/')\n"
    (tmp_path / "app.py").write_text(head + blocks[0] + tail)
    run(tmp_path / "app.py", tmp_path, environment)
    with leveret_worker("app.py", tmp_path, environment) as worker:
        worker.until(lambda line: "parked task=fetch" in line and "the page is gone" in line)


@runs("README.md", 2)
def test_results_schedules_and_cancelling(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks[0])
    with leveret_worker("app.py", tmp_path, environment) as worker:
        assert run(tmp_path / "app.py", tmp_path, environment) == "6\n"
        worker.until(lambda line: "this worker serves the schedules: tidy" in line)
