"""`leveret demo` as a process: counts what was done, whatever it is given to do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 120


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "leveret", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)


def test_a_worker_is_killed_and_every_task_done(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.txt").write_bytes(os.urandom(1 << 10) * (1 << 9))
    ended = demo(str(tmp_path), "--workers", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    last = ended.stdout.splitlines()[-1]
    found = re.fullmatch(r"60 of 60 tasks done, 0 lost, (\d+) redelivered", last)
    assert found is not None, ended.stdout
    assert int(found[1]) >= 1
    assert "killed with SIGKILL" in ended.stdout
    assert "✗" in ended.stdout
    assert re.search(r"^31\.5 MB compressed to \d+\.\d MB, ", ended.stdout, re.MULTILINE)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whatever_ends_it_ends_what_it_started(tmp_path: Path, number: int) -> None:
    for name in range(200):
        (tmp_path / f"{name}.txt").write_bytes(os.urandom(1 << 20))
    command = [sys.executable, "-m", "leveret", "demo", str(tmp_path), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        while "done" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        started = descendants(process.pid)
        assert len(started) >= 4, "a broker, a supervisor and two workers"
        process.send_signal(number)
        assert process.wait(LIMIT_S) == 130
        assert process.stderr.read().endswith("everything the demo started has ended\n")
    assert not [pid for pid in started if Path(f"/proc/{pid}/cmdline").exists()]


def descendants(pid: int) -> list[int]:
    children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def test_a_directory_without_files_is_refused(tmp_path: Path) -> None:
    ended = demo(str(tmp_path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"leveret: there are no files in {tmp_path}\n"


def test_what_is_no_directory_is_wrong_use(tmp_path: Path) -> None:
    ended = demo(str(tmp_path / "none"))
    assert ended.returncode == 2
    assert ended.stderr == f"leveret: {tmp_path / 'none'} is no directory\n"
