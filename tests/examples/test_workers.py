"""docs/workers.md: its program runs, its table has every option, its line of JSON is one that a worker writes. On both brokers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.programs import EXAMPLES, leveret_worker
from examples.snippets import run, runs
from leveret.tasks.options import WorkerOptions
from leveret.worker.lines import FIELDS

PAGE = (EXAMPLES.parent / "docs" / "workers.md").read_text()
SEND_S = 60


@pytest.mark.usefixtures("no_queue")
@runs("workers.md", 0)
def test_its_queue_is_paused_and_resumed(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    assert run(blocks[0], tmp_path, environment) == "True\n"


@pytest.mark.usefixtures("no_queue")
@runs("workers.md", 1)
def test_its_program_runs(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks[0])
    with leveret_worker("app.py", tmp_path, environment):
        assert run(Path("app.py"), tmp_path, environment) == "9\n"


@pytest.mark.parametrize("columns", [70, 110])
def test_the_help_is_as_wide_as_the_terminal(columns: int) -> None:
    command = [sys.executable, "-m", "leveret", "worker", "--help"]
    environment = os.environ | {"COLUMNS": str(columns)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    widest = max(len(line) for line in said.partition("options:")[2].splitlines())
    assert columns - 12 < widest <= columns - 2


def test_every_option_is_in_its_table_and_in_the_help() -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-m", "leveret", "worker", "--help"]
    help_text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for option in re.findall(r"--[a-z-]+", help_text):
        assert option in PAGE or option == "--help"
    for name in WorkerOptions.__annotations__:
        assert f"`{name}" in PAGE


def test_its_line_of_json_has_the_fields_of_one() -> None:
    [line] = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert list(json.loads(line)) == ["time", "level", "logger", "pid", "message", *FIELDS]
