"""A worker in this process, a program of real worker processes, and the pipes by which a test and its tasks meet.

A task tells the test what it does through one pipe and waits at another, the gate, until the test lets it go on: no
test guesses how long something takes. Only the tests of this directory use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel

from leveret.client.looping import new_loop
from leveret.tasks import Queue, WorkQueue
from leveret.worker.options import Options
from leveret.worker.worker import Worker

T = TypeVar("T")
WITHIN_S = 60.0
"""Only what fails waits so long."""


@contextlib.contextmanager
def working(work: WorkQueue, **options: Any) -> Iterator[Worker]:
    """A worker on a thread of its own, stopped in good order at the end."""
    worker = Worker(work, work.broker_url(), Options(**{"threads": 4, "shutdown_timeout_s": 10.0, **options}))
    loop = new_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(worker.run(),))
    thread.start()
    try:
        yield worker
    finally:
        loop.call_soon_threadsafe(worker.stop)
        thread.join(WITHIN_S)
        assert not thread.is_alive(), "the worker does not stop"
        loop.close()
        work.close()


def await_end_of_task_threads(before: set[threading.Thread]) -> None:
    """Of those that were not there before. AssertionError: one goes on."""
    mine = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("leveret-task")]
    for thread in mine:
        thread.join(WITHIN_S)
        assert not thread.is_alive(), f"{thread.name} goes on"


def declare(channel: BlockingChannel, name: str) -> None:
    """As the work queue declares it, on either broker."""
    product = channel.connection._impl.server_properties["product"]
    channel.queue_declare(name, durable=True, arguments=Queue(name).arguments(product == "RabbitMQ"))


def declare_filled(channel: BlockingChannel, name: str) -> None:
    """Declare it, and wait until something is in it, so that it may be consumed from: RabbitMQ (3.10) ends the connection of
    who consumes from a quorum queue that somebody else is just declaring (541)."""
    declare(channel, name)
    until(lambda: channel.queue_declare(name, passive=True).method.message_count)


def until(true: Callable[[], T], within_s: float = WITHIN_S) -> T:
    """What `true` says once that is not false, for what nobody tells: it is asked again and again."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not (said := true()):
        assert time.monotonic() < deadline, "it did not come to be"
        pause.wait(0.01)
    return said


def until_ready(channel: BlockingChannel, queue: str, count: int) -> None:
    """Wait until so many messages are ready: a broker may take a moment to count what was acknowledged."""
    deadline = time.monotonic() + WITHIN_S
    while (there := channel.queue_declare(queue, passive=True).method.message_count) != count:
        assert time.monotonic() < deadline, f"{there} messages are ready in {queue}, not {count}"
        channel.connection.process_data_events(0.02)


class Lines:
    """Lines from a pipe, waited for one by one; `seen` are all so far, for the message of a failure."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._rest = b""
        self._ready: list[str] = []
        self.seen: list[str] = []

    def next(self) -> str | None:
        """None at the pipe's end."""
        deadline = time.monotonic() + WITHIN_S
        while not self._ready:
            if not select.select([self._number], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"nothing came within {WITHIN_S:.0f} s after\n" + "\n".join(self.seen))
            data = os.read(self._number, 65536)
            if not data:
                return None
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._ready = [line.decode() for line in lines]
        self.seen.append(self._ready.pop(0))
        return self.seen[-1]

    def until(self, text: str) -> str:
        """The first line from here on that contains `text`."""
        while (line := self.next()) is not None:
            if text in line:
                return line
        raise AssertionError(f"{text!r} was never said, only\n" + "\n".join(self.seen))

    def to_the_end(self) -> list[str]:
        """All lines, once nobody can write any more."""
        while self.next() is not None:
            pass
        return self.seen


PRELUDE = """
import os, sys
from leveret.tasks import Retries, WorkQueue, current_message

HERE = os.path.dirname(os.path.abspath(__file__))
work = WorkQueue({url!r}, default_queue={queue!r})

def tell(*words):
    pipe = os.open(os.path.join(HERE, "told"), os.O_WRONLY)
    os.write(pipe, (" ".join(map(str, words)) + "\\n").encode())
    os.close(pipe)

def wait_at_gate():
    gate = os.open(os.path.join(HERE, "gate"), os.O_RDONLY)
    os.read(gate, 1)
    os.close(gate)

@work.task
def slow(name: str) -> None:
    tell("started", name, os.getpid(), current_message().redelivered)
    wait_at_gate()
    tell("done", name, os.getpid())
"""

MAIN = "import json, sys; from leveret.worker.entry import command; sys.exit(command(sys.argv[1], **json.loads(sys.argv[2])))"


class Program:
    """A program file with the task `slow(name)`, and `more` text; `told` is what its tasks tell."""

    def __init__(self, directory: Path, url: str, queue: str, more: str = "") -> None:
        self.directory = directory
        self.queue = queue
        self._url = url
        self.file = directory / "program.py"
        self.file.write_text(PRELUDE.format(url=url, queue=queue) + more)
        for name in ("told", "gate"):
            os.mkfifo(directory / name)
        self._told = os.open(directory / "told", os.O_RDWR)
        self._gate = os.open(directory / "gate", os.O_RDWR)
        self.told = Lines(self._told)
        self.processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[Lines] = []
        self._others: set[int] = set()
        self.work = WorkQueue(url, default_queue=queue)
        self.slow = self.work.task(name="slow")(_slow)

    def worker(self, **options: Any) -> tuple[subprocess.Popen[bytes], Lines]:
        """What `leveret worker` does, in a process of its own; it and what it logs."""
        if options.get("processes", 1) > 1:  # as for declare_filled
            connection = pika.BlockingConnection(pika.URLParameters(self._url))
            declare(connection.channel(), self.queue)
            connection.close()
        return self.start("-c", MAIN, "program.py", json.dumps(options))

    def start(self, *arguments: str) -> tuple[subprocess.Popen[bytes], Lines]:
        process = subprocess.Popen([sys.executable, *arguments], cwd=self.directory, stderr=subprocess.PIPE)
        assert process.stderr is not None
        log = Lines(process.stderr.fileno())
        self.processes.append(process)
        self._logs.append(log)
        return process, log

    def started(self, name: str) -> tuple[int, bool]:
        """Wait until a task runs whose name begins so; in which process, and whether redelivered."""
        _, _, pid, redelivered = self.told.until(f"started {name}").split()
        self._others.add(int(pid))
        return int(pid), redelivered == "True"

    def open_gate(self, number: int = 1) -> None:
        os.write(self._gate, b"." * number)

    def close(self) -> None:
        """End what a failed test left running, and show what it said."""
        for process, log in zip(self.processes, self._logs, strict=True):
            if process.poll() is None:
                process.kill()
                for pid in self._others:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                print(f"process {process.pid} was left running and had said:", *log.to_the_end(), sep="\n")
            process.wait(WITHIN_S)
            assert process.stderr is not None
            process.stderr.close()
        self.work.close()
        os.close(self._told)
        os.close(self._gate)


def _slow(name: str) -> None:
    raise AssertionError("runs in workers only")
