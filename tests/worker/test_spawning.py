"""A supervisor's children: forked at the start, new Pythons later; neither has anything that is another's. On both brokers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Broker
from leveret.worker.options import FORKS_ARE_SAFE
from worker.support import MAIN, WITHIN_S, Program

LOOKS = """
import atexit, gc, logging, multiprocessing, threading, time

LOADED_BY = os.getpid()
atexit.register(tell, "goodbye", LOADED_BY)

@work.task
def look(number: int) -> None:
    pipes = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
    said = {os.readlink(f"/proc/self/fd/{n}") for n in (1, 2)}
    own = {pipe for pipe in pipes if pipe.startswith("pipe:")} - said
    tell("look", os.getpid() == LOADED_BY, os.getpid() == os.getsid(0), os.getppid(), len(logging.getLogger().handlers), len(own))

@work.task
def origin() -> None:
    tell("origin", "new" if sys.flags.safe_path else "forked")

@work.task
def collecting() -> None:
    tell("collecting", gc.isenabled())

@work.task
def elsewhere() -> None:
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    tell("elsewhere", process.exitcode)
"""

BUSY = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start(); "

LEAN = """
import sys
import leveret.cli.start, leveret.cli.worker, leveret.worker.supervisor, leveret.worker.lines
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("leveret", "typer", "uvloop", "starlette")))
"""

LEAN_CHILD = """
import sys
import asyncio, logging, msgspec, setproctitle, uvloop
others = set(sys.modules)
import leveret.cli.start, leveret.worker.child
print(*sorted(sys.modules.keys() - others))
"""


@pytest.fixture
def program(broker: Broker, name: str, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, broker.url, f"spawning.{name}", LOOKS)
    yield made
    made.close()


def test_a_supervisor_loads_nothing_of_the_library_but_its_own() -> None:
    """Its memory, and the time until its children begin, are the price of what it loads."""
    loaded = subprocess.run([sys.executable, "-c", LEAN], capture_output=True, text=True, check=True).stdout.split()
    assert "leveret.worker.supervisor" in loaded
    for name in (
        "leveret.client",
        "leveret.tasks",
        "leveret.wire",
        "leveret.worker.worker",
        "typer",
        "uvloop",
        "starlette",
    ):
        assert name not in loaded


def test_a_child_loads_nothing_that_most_never_need() -> None:
    """Nobody's first task waits for it."""
    loaded = subprocess.run(
        [sys.executable, "-c", LEAN_CHILD], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "leveret.worker.runner" in loaded
    for name in ("dataclasses", "hashlib", "shutil", "sqlite3", "leveret.broker", "leveret.worker.health"):
        assert name not in loaded


def test_garbage_is_collected_again_once_a_worker_has_loaded_the_library(program: Program) -> None:
    supervisor, log = program.start("-m", "leveret", "worker", "program.py")
    log.until("worker ready")
    program.work.task(name="collecting")(lambda: None).send()
    assert program.told.until("collecting") == "collecting True"
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_whether_forked_or_not_a_child_has_what_is_its_own_and_no_more(program: Program) -> None:
    supervisor, log = program.worker(processes=3, threads=1)
    look = program.work.task(name="look")(lambda number: None)
    pids = [int(log.until("started").split("pid=")[1].split()[0]) for _ in range(3)]
    for _ in range(3):
        log.until("worker ready")
    os.kill(pids[-1], signal.SIGKILL)
    log.until("died (SIGKILL)")
    log.until("worker ready")
    program.work.send_many([look.call(number) for number in range(12)])
    told = {program.told.until("look") for _ in range(12)}
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    # Each loaded the program, leads its session, has one handler of logs, and as many pipes as the one that is a new Python.
    assert len(told) == 1
    assert told.pop().startswith(f"look True True {supervisor.pid} 1 ")
    assert {program.told.until("goodbye") for _ in range(3)} == {f"goodbye {pid}" for pid in after(log.to_the_end())}


def after(lines: list[str]) -> set[int]:
    """The ids of those that ended in good order."""
    started = {int(line.split("pid=")[1].split()[0]) for line in lines if "started" in line}
    return started - {int(line.split("pid=")[1].split()[0]) for line in lines if "died" in line}


@pytest.mark.skipif(not FORKS_ARE_SAFE, reason="nothing is forked here")
@pytest.mark.parametrize(("before", "origin"), [("", "forked"), (BUSY, "new")])
def test_a_process_that_has_threads_already_is_not_forked(program: Program, before: str, origin: str) -> None:
    """As where something else was started by the environment, to watch the program."""
    supervisor, log = program.start("-c", before + MAIN, "program.py", "{}")
    program.work.task(name="origin")(lambda: None).send()
    assert program.told.until("origin") == f"origin {origin}"
    log.until("works for")  # from then on the supervisor has its signals
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()


def test_a_task_of_a_forked_child_may_start_processes_its_own_way(program: Program) -> None:
    supervisor, log = program.worker(threads=1)
    program.work.task(name="elsewhere")(lambda: None).send()
    assert program.told.until("elsewhere") == "elsewhere 0"
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(WITHIN_S) == 0
    log.to_the_end()
