"""A real broker on a disk that is full, slow, or fails, as its operator and its clients see it.

Full: a small tmpfs, which takes root. Slow and failing: a library before libc's, which does what a file tells it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pika.exceptions
import pytest

from brokers import Leveret
from leveret.store.store import FILE_NAME

BODY = b"x" * 4096
WAIT_S = 60.0

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The file named by SICK_DISK holds: call, errno, seconds. */
static int sick(const char *call) {
    char which[32] = "";
    int error = 0, seconds = 0;
    FILE *file = fopen(getenv("SICK_DISK"), "r");
    if (!file) return 0;
    int found = fscanf(file, "%31s %d %d", which, &error, &seconds);
    fclose(file);
    if (found != 3 || strcmp(which, call)) return 0;
    sleep(seconds);
    errno = error;
    return error;
}
int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    return sick("sync") ? -1 : real(fd);
}
int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    return sick("sync") ? -1 : real(fd);
}
ssize_t pwrite64(int fd, const void *buffer, size_t size, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    return sick("write") ? -1 : real(fd, buffer, size, at);
}
ssize_t pwrite(int fd, const void *buffer, size_t size, off_t at) { return pwrite64(fd, buffer, size, at); }
"""


class Placed(Leveret):
    """A broker whose data may lie elsewhere, with the disk alarm that only a really full disk sets off."""

    def __init__(self, data: Path | None = None, environment: dict[str, str] | None = None) -> None:
        super().__init__(management=False)
        self.data = data or self.directory / "data"
        self.given = environment or {}

    def command(self) -> list[str]:
        command = super().command()
        command[command.index("--data") + 1] = str(self.data)
        given = [f"{name}={value}" for name, value in self.given.items()]
        return ["env", *given, *command, "--set", "limits.disk_free_bytes_min=0", "--set", "limits.close_s=1"]

    def ended(self) -> int:
        """The exit code."""
        assert self.process is not None
        code, self.process = self.process.wait(WAIT_S), None
        return code


class Publisher(threading.Thread):
    """Publishes with confirms until its connection ends; `confirmed` says how many are."""

    def __init__(self, broker: Leveret, declares: bool = True) -> None:
        super().__init__(daemon=True)
        self._broker = broker
        self._declares = declares
        self.confirmed = 0
        self.blocked = threading.Event()
        self.unblocked = threading.Event()
        self.start()

    def run(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection = self._broker.connect(blocked_connection_timeout=300, heartbeat=2)
            inner = connection._impl  # the blocking connection calls nobody while it waits for a confirm
            inner.add_on_connection_blocked_callback(lambda *_: self.blocked.set())
            inner.add_on_connection_unblocked_callback(lambda *_: self.unblocked.set())
            channel = connection.channel()
            if self._declares:
                channel.queue_declare("jobs", durable=True)
            channel.confirm_delivery()
            while True:
                channel.basic_publish("", "jobs", BODY, pika.BasicProperties(delivery_mode=2))
                self.confirmed += 1

    def until(self, more: int) -> None:
        """So many more are confirmed."""
        wanted = self.confirmed + more
        until(lambda: self.confirmed >= wanted)


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def start() -> Iterator[Callable[[Placed], Placed]]:
    started: list[Placed] = []

    def start(broker: Placed) -> Placed:
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.remove()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def sick_disk(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The file to write what is to happen into, and the environment of who it is to happen to."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    (tmp_path / "shim.c").write_text(SHIM)
    library = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "shim.c", "-ldl"], check=True)
    told = tmp_path / "told"
    told.write_text("")
    return told, {"LD_PRELOAD": str(library), "SICK_DISK": str(told)}


def fill(place: Path) -> Path:
    """Somebody else takes all that is free."""
    filler = place / "filler"
    with contextlib.suppress(OSError), filler.open("ab") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    return filler


def found_full(broker: Leveret, place: Path) -> tuple[Path, Publisher]:
    """What takes all the room, also what the broker gives back for a last time; and a publisher who came too late."""
    filler = fill(place)
    until(lambda: "cannot write and waits for room on the disk" in broker.output())
    late = Publisher(broker, declares=False)
    until(lambda: fill(place) and late.blocked.is_set())
    return filler, late


def ready(broker: Leveret) -> int:
    with broker.connect() as connection:
        count: int = connection.channel().queue_declare("jobs", passive=True).method.message_count
    return count


def test_on_a_full_disk_publishers_wait_consumers_go_on_and_nothing_is_lost(
    start: Callable[[Placed], Placed], small_disk: Path
) -> None:
    broker = start(Placed(small_disk / "data"))
    publisher = Publisher(broker)
    publisher.until(300)
    filler, late = found_full(broker, small_disk)
    confirmed = publisher.confirmed, late.confirmed
    with broker.connect() as connection:
        channel = connection.channel()
        for method, _, _ in channel.consume("jobs", inactivity_timeout=WAIT_S):
            assert method is not None
            channel.basic_ack(method.delivery_tag)
            if method.delivery_tag == 100:
                break
    assert (publisher.confirmed, late.confirmed) == confirmed and not late.unblocked.is_set()
    filler.unlink()
    assert late.unblocked.wait(WAIT_S)
    publisher.until(100)
    late.until(100)
    broker.kill()
    for one in (publisher, late):
        one.join(WAIT_S)
    broker.start()
    sent = publisher.confirmed + late.confirmed
    assert sent - 100 <= ready(broker) <= sent + 2


def test_a_broker_that_is_stopped_on_a_full_disk_ends_soon_and_says_why(
    start: Callable[[Placed], Placed], small_disk: Path
) -> None:
    broker = start(Placed(small_disk / "data"))
    publisher = Publisher(broker)
    publisher.until(300)
    filler, late = found_full(broker, small_disk)
    assert broker.process is not None
    broker.process.terminate()
    assert broker.ended() == os.EX_IOERR
    assert f"{small_disk / 'data' / FILE_NAME}: still waiting for room on the disk" in broker.output()
    for one in (publisher, late):
        one.join(WAIT_S)
    filler.unlink()
    broker.start()
    sent = publisher.confirmed + late.confirmed
    assert sent <= ready(broker) <= sent + 2


def test_a_broker_on_a_disk_that_is_full_from_the_start_says_so(
    start: Callable[[Placed], Placed], small_disk: Path
) -> None:
    fill(small_disk)
    broker = Placed(small_disk / "data")
    done = subprocess.run(broker.command(), capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (done.returncode == 1 and "No space left" in done.stderr) or "it needs room on the disk" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    broker.remove()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("sync 5 0", "disk I/O error; "),
        ("write 5 0", "disk I/O error; "),
        ("write 30 0", "see "),
    ],
    ids=["sync fails", "write fails", "read-only"],
)
def test_a_failing_disk_ends_the_broker_with_last_words_and_what_was_confirmed_is_there(
    start: Callable[[Placed], Placed], sick_disk: tuple[Path, dict[str, str]], told: str, said: str
) -> None:
    file, environment = sick_disk
    broker = start(Placed(environment=environment))
    publisher = Publisher(broker)
    publisher.until(50)
    file.write_text(told)
    assert broker.ended() == os.EX_IOERR
    publisher.join(WAIT_S)
    output = broker.output()
    assert "the message store failed, the broker stops: " in output and said in output and "Traceback" not in output
    file.write_text("")
    broker.start()
    assert publisher.confirmed <= ready(broker) <= publisher.confirmed + 1


def test_on_a_slow_disk_confirms_are_late_and_everything_else_is_not(
    start: Callable[[Placed], Placed], sick_disk: tuple[Path, dict[str, str]]
) -> None:
    """A sync of two seconds; the publisher's heartbeat is two seconds as well, so it would be cut off if the loop stood still."""
    file, environment = sick_disk
    broker = start(Placed(environment=environment))
    publisher = Publisher(broker)
    publisher.until(50)
    file.write_text("sync 0 2")
    with broker.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("fast")
        publisher.until(1)
        took: list[float] = []
        for _ in range(200):
            began = time.monotonic()
            channel.basic_publish("", "fast", b"x")
            assert next(channel.consume("fast", auto_ack=True, inactivity_timeout=WAIT_S))[0] is not None
            took.append(time.monotonic() - began)
        assert sorted(took)[100] < 0.5, "what does not need the disk waited for it"
    publisher.until(2)
    assert publisher.is_alive()
    file.write_text("")
    broker.kill()
    publisher.join(WAIT_S)
    broker.start()
    assert publisher.confirmed <= ready(broker) <= publisher.confirmed + 1
