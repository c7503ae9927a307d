"""A worker that is reloaded when its program changes: also into one that is broken, and out of it again. On both brokers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Broker
from leveret.errors import TaskError
from leveret.worker import reloading
from worker.support import WITHIN_S, Program

pytest.importorskip("watchfiles")

VERSION = """
@work.task
def version(word: str) -> None:
    tell("version", word, "one")
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"reload.{name}", VERSION)
    yield made
    made.close()


def write(program: Program, text: str) -> None:
    """As editors do: a new file, renamed."""
    new = program.file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, program.file)


def test_a_program_that_changes_is_loaded_anew_and_a_broken_one_waited_for(program: Program) -> None:
    supervisor, log = program.worker(reload=True, processes=2, threads=1)
    version = program.work.task(name="version")(lambda word: None)
    good = program.file.read_text()
    version.send("a")
    assert program.told.until("version a") == "version a one"
    for _ in range(2):
        log.until("worker ready")
    write(program, good.replace('"one"', '"two"'))
    log.until("program.py changed")
    for _ in range(2):
        log.until("worker ready")
    version.send("b")
    assert program.told.until("version b") == "version b two"
    write(program, good + "\nraise RuntimeError('half written')\n")
    log.until("RuntimeError: half written")
    log.until("it is tried again when it changes")
    write(program, good.replace('"one"', '"three"'))
    log.until("worker ready")
    version.send("c")
    assert program.told.until("version c") == "version c three"
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    lines = log.to_the_end()
    assert any("Traceback" in line for line in lines)
    assert not any("died" in line for line in lines)


def test_nothing_is_kept_compiled_that_a_change_within_the_same_second_would_be_taken_for(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    supervisor, log = program.worker(reload=True, threads=1)
    log.until("worker ready")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert not (program.directory / "__pycache__").exists()


def test_a_program_that_is_broken_from_the_start_is_waited_for(program: Program) -> None:
    good = program.file.read_text()
    write(program, "import lvmissing\n")
    supervisor, log = program.worker(reload=True)
    log.until("No module named 'lvmissing'")
    log.until("it is tried again when it changes")
    write(program, good)
    log.until("worker ready")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0


def test_a_task_that_runs_goes_back_uncharged_after_a_short_while(program: Program) -> None:
    supervisor, log = program.worker(reload=True, shutdown_timeout_s=0.1)
    program.slow.send("a")
    first, _ = program.started("a")
    write(program, program.file.read_text() + "\n")
    again, redelivered = program.started("a")
    assert again != first
    assert not redelivered
    program.open_gate()
    program.told.until(f"done a {again}")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    assert any("gives back running=1" in line for line in log.to_the_end())


def test_what_is_no_program_reloads_nothing(tmp_path: Path) -> None:
    from watchfiles import Change, PythonFilter

    wanted = reloading._wanted(PythonFilter())
    kept = ["app.py", "shop/tasks.py"]
    ignored = ["app.pyc", "__pycache__/app.py", ".git/hooks/x.py", ".venv/lib/x.py", ".leveret/x.py", "data.json"]
    assert [path for path in (*kept, *ignored) if wanted(Change.modified, str(tmp_path / path))] == [
        str(path) for path in kept
    ]


def test_without_watchfiles_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "watchfiles", None)
    with pytest.raises(TaskError, match=r"pip install 'leveret\[reload\]'"):
        reloading.load_watcher()
