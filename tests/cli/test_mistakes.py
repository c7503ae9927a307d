"""A mistake on the command line: one line that says what is wrong, and exit code 2; what is not there: 1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brokers import free_port
from leveret.cli.main import application


def leveret(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "leveret", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "nothing"),
        (["broker", "--port", "70000"], "--port"),
        (["broker", "--port", "many"], "--port"),
        (["broker", "--no-tcp"], "--socket"),
        (["broker", "--log-level", "loud"], "loud"),
        (["worker"], "MODULE"),
        (["worker", "there_is_no_such_module"], "there_is_no_such_module"),
        (["worker", "json", "--threads", "0"], "--threads"),
        (["worker", "json"], "WorkQueue"),
        (["call", "task"], "MODULE:TASK"),
        (["call", "json:task", "--args", "{"], "--args"),
        (["send", "queue"], "text"),
        (["list-queues", "--management", "ftp://x"], "ftp://x"),
        (["list-queues", "--formatter", "xml"], "xml"),
        (["demo", "--workers", "0"], "--workers"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments: list[str], says: str) -> None:
    ended = leveret(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert says in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [["list-queues"], ["unacked"]])
def test_a_management_api_that_is_not_there_is_told_in_one_line(command: list[str]) -> None:
    url = f"http://guest:guest@127.0.0.1:{free_port()}"
    ended = leveret(*command, "--management", url)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1 and "is the broker running?" in ended.stderr


def test_a_data_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    ended = leveret("broker", "--port", "0", "--no-management", "--data", str(tmp_path / "data"))
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr


def test_the_worker_reads_its_own_options_whichever_way_it_is_called() -> None:
    ended = CliRunner().invoke(application(), ["worker", "json", "--threads", "0"])
    assert ended.exit_code == 2
    assert "--threads" in ended.output
