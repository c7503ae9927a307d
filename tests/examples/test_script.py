"""examples/script: a program of one file, without a broker's URL, and its worker, on a broker that they start themselves."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.programs import EXAMPLES, leveret_worker

SEND_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A copy of the program in a folder of its own, whose broker is ended afterwards."""
    folder = tmp_path / "program"
    shutil.copytree(EXAMPLES / "script", folder)
    yield folder
    pid = folder / ".leveret" / "broker.pid"
    if pid.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_script_and_its_worker_need_nothing_else(folder: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"hare {number}" for number in range(5)]
    for number, path in enumerate(files):
        path.write_bytes(b"hare" * number)
    environment = {name: value for name, value in os.environ.items() if name != "LEVERET_URL"}
    command = [sys.executable, "checksums.py", str(tmp_path)]
    sent = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SEND_S, check=True
    )
    assert sent.stdout == "5 files are on the way\n"
    with leveret_worker("checksums.py", folder, {"LEVERET_URL": ""}) as worker:
        for _ in files:
            worker.until(lambda line: "done task=checksum " in line)
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.with_name(f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"
