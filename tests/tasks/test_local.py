"""The project's own broker, started on demand in a directory of the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from leveret.client.blocking import connect_blocking
from leveret.errors import TaskError
from leveret.store.lock import DirectoryLock
from leveret.tasks import WorkQueue, local
from worker.support import until, working

STARTER = """
import sys
from leveret.tasks import local
print(local.local_url(), len(local._started))
"""


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with a short path; whatever broker was started there is ended."""
    with tempfile.TemporaryDirectory(prefix="lv-") as place:
        monkeypatch.chdir(place)
        monkeypatch.delenv("LEVERET_URL", raising=False)
        yield Path(place).resolve()
        end_broker(Path(place))


def end_broker(place: Path) -> None:
    """Started by this process it has to be waited for; started by another it is watched until it is gone."""
    file = place / ".leveret" / "broker.pid"
    pid = int(file.read_text()) if file.exists() else 0
    for process in local._started:
        if process.pid == pid:
            process.terminate()
            process.wait(60)
            return
    if pid:
        with socket.socket(socket.AF_UNIX) as watch:
            watch.settimeout(30)
            watch.connect(str(place / ".leveret" / "broker.sock"))
            os.kill(pid, signal.SIGTERM)
            while watch.recv(4096):
                pass


def test_a_url_given_goes_before_the_environment_and_that_before_the_local_broker(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERET_URL", "amqp://environment/")
    assert local.broker_url("amqp://given/") == "amqp://given/"
    assert local.broker_url(None) == "amqp://environment/"
    assert not (project / ".leveret").exists()


def test_it_is_started_once_and_found_again(project: Path) -> None:
    before = len(local._started)
    url = local.broker_url(None)
    assert url == f"amqp+unix://{project}/.leveret/broker.sock"
    assert local.broker_url(None) == url
    assert len(local._started) == before + 1


def test_who_comes_while_another_broker_ends_waits_for_its_turn(project: Path) -> None:
    """It holds the directory and does not listen any more: that is no failure."""
    data = project / ".leveret" / "data"
    data.mkdir(parents=True)
    ending = DirectoryLock(data)
    before = len(local._started)
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(local.broker_url, None)
        deadline = time.monotonic() + 30
        while len(local._started) < before + 2:  # the first was turned away
            assert time.monotonic() < deadline and not starting.done()
            time.sleep(0.01)
        assert local._started[before].returncode == local.IN_USE
        ending.release()
        assert starting.result(60) == f"amqp+unix://{project}/.leveret/broker.sock"


def test_of_concurrent_starters_one_starts_and_all_connect(project: Path) -> None:
    starters = [
        subprocess.Popen([sys.executable, "-c", STARTER], cwd=project, stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    said = [starter.communicate(timeout=60)[0].split() for starter in starters]
    assert {url for url, _ in said} == {f"amqp+unix://{project}/.leveret/broker.sock"}
    assert sum(int(started) for _, started in said) == 1
    assert local.accepts(project / ".leveret" / "broker.sock")


def test_a_broker_that_was_killed_is_started_again_over_its_data(project: Path) -> None:
    local.broker_url(None)
    killed = local._started[-1]
    killed.kill()
    killed.wait(60)
    assert (project / ".leveret" / "broker.sock").exists()
    local.broker_url(None)
    assert local._started[-1] is not killed
    assert local.accepts(project / ".leveret" / "broker.sock")


def test_a_broker_that_cannot_start_is_told_with_the_end_of_its_log(project: Path) -> None:
    (project / ".leveret").mkdir()
    (project / ".leveret" / "data").write_text("in the way")
    with pytest.raises(TaskError, match=r"(?s)ended with code.*leveret"):
        local.local_url()


def test_a_directory_that_cannot_be_used_is_told(project: Path) -> None:
    (project / ".leveret").write_text("a file")
    with pytest.raises(TaskError, match="set LEVERET_URL"):
        local.local_url()


def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one(project: Path) -> None:
    home = project / ("long" * 30)
    home.mkdir()
    path = local.socket_path(home)
    try:
        assert len(os.fsencode(path)) < local.SOCKET_BYTES_MAX
        assert (home / "socket").read_text().strip() == str(path)
        assert path == local.socket_path(home)
        assert path.parent.stat().st_mode & 0o777 == 0o700
        path.parent.chmod(0o755)
        with pytest.raises(TaskError, match="not a directory of this user alone"):
            local.socket_path(home)
    finally:
        path.parent.rmdir()


def test_a_socket_that_nobody_listens_on_accepts_nothing(project: Path) -> None:
    path = project / "s"
    assert not local.accepts(path)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert not local.accepts(path)


PROGRAM = """
import sys
from leveret.tasks import WorkQueue
work = WorkQueue()
@work.task
def hello(name: str) -> None:
    print("hello", name, flush=True)
if __name__ == "__main__":
    hello.send("bob")
    sys.exit(work.run())
"""


def test_a_one_file_program_needs_no_set_up_at_all(project: Path) -> None:
    (project / "program.py").write_text(PROGRAM)
    program = subprocess.Popen([sys.executable, "program.py"], cwd=project, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "hello bob\n"
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0
    program.stdout.close()


@pytest.mark.parametrize("lies", [0, 12])
def test_a_worker_starts_it_again(project: Path, monkeypatch: pytest.MonkeyPatch, lies: int) -> None:
    """After a kill -9, say: whoever waits for work there is not to wait for ever.

    While a killed process is being taken apart its connections may end before its socket does: it seems to listen then,
    and is seen to do so here by the first `lies` who look.
    """
    accepts = local.accepts
    done: SimpleQueue[int] = SimpleQueue()
    work = WorkQueue(default_queue="local")
    note = work.task(name="note")(done.put)
    with working(work):
        note.send(1)
        assert done.get(timeout=60) == 1
        killed = int((project / ".leveret" / "broker.pid").read_text())
        still = iter([True] * lies)
        monkeypatch.setattr(local, "accepts", lambda path: next(still, None) or accepts(path))
        os.kill(killed, signal.SIGKILL)
        next(process for process in local._started if process.pid == killed).wait(60)
        until(lambda: accepts(project / ".leveret" / "broker.sock"))
        note.send(2)
        while (told := done.get(timeout=60)) != 2:  # the kill may have come before the acknowledgement of 1
            assert told == 1


@pytest.mark.parametrize("lies", [0, 3])
def test_a_sender_starts_it_again(project: Path, monkeypatch: pytest.MonkeyPatch, lies: int) -> None:
    """Its message is in the queue when `send` returns, whatever the first who looked have seen."""
    accepts = local.accepts
    work = WorkQueue(default_queue="local")
    note = work.task(name="note")(lambda number: None)
    note.send(1)
    killed = int((project / ".leveret" / "broker.pid").read_text())
    still = iter([True] * lies)
    monkeypatch.setattr(local, "accepts", lambda path: next(still, None) or accepts(path))
    os.kill(killed, signal.SIGKILL)
    next(process for process in local._started if process.pid == killed).wait(60)
    until(lambda: not work._sender._mine().ready)
    note.send(2)
    with connect_blocking(work.broker_url()) as connection:
        assert connection.channel().queue_declare("local", passive=True).messages == 2
    work.close()


def test_a_local_broker_that_nobody_waits_for_is_left_alone(project: Path) -> None:
    work = WorkQueue(default_queue="local")
    work.task(name="note")(lambda number: None).send(1)
    opened = work._sender._mine()
    looked: SimpleQueue[str] = SimpleQueue()
    opened._url = lambda: looked.put("looked") or local.broker_url(None)
    assert opened.connection is not None
    started = len(local._started)
    end_broker(project)
    core = opened.connection.core
    until(lambda: core._attempts >= 3)
    assert looked.empty() and len(local._started) == started
    work.close()


def test_a_worker_that_just_missed_it_starts_it_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed between the moment when the worker found it and the one when it connects."""
    accepts = local.accepts
    done: SimpleQueue[int] = SimpleQueue()
    work = WorkQueue(default_queue="local")
    note = work.task(name="note")(done.put)
    work.broker_url()
    killed = int((project / ".leveret" / "broker.pid").read_text())
    os.kill(killed, signal.SIGKILL)
    next(process for process in local._started if process.pid == killed).wait(60)
    found = iter([True])
    monkeypatch.setattr(local, "accepts", lambda path: next(found, None) or accepts(path))
    with working(work):
        until(lambda: accepts(project / ".leveret" / "broker.sock"))
        note.send(1)
        assert done.get(timeout=60) == 1
