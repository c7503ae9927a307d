"""The project's own broker, started on demand for programs that name none.

It keeps its data in .leveret/ in the current directory and listens on a Unix socket there. It runs on when the program
ends; .leveret/broker.pid says who it is and .leveret/broker.log what it had to say. One broker per directory: starters
take turns at a file lock, and all but the first find it running. Called by workqueue.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from leveret.errors import TaskError

START_S: Final = 30.0
LOOK_S: Final = 0.02
IN_USE: Final = 75
"""The exit code of a broker whose data directory another one holds (EX_TEMPFAIL)."""
IN_USE_S: Final = 0.2
SOCKET_BYTES_MAX: Final = 100
"""The kernel's limit is 104 (macOS) or 108 (Linux), the closing zero included."""

LOG_TAIL_CHARACTERS: Final = 2_000
_started: list[subprocess.Popen[bytes]] = []  # kept: collecting one that runs would be reported as a leak


def broker_url(url: str | None) -> str:
    """`url`, or LEVERET_URL, or that of the local broker, which then runs."""
    return url or os.environ.get("LEVERET_URL") or local_url()


def local_url(directory: Path | None = None) -> str:
    """The URL of the broker of `directory` (the current one), started if it does not run. TaskError if it cannot be."""
    home = (directory or Path.cwd()).resolve() / ".leveret"
    try:
        home.mkdir(exist_ok=True)
        path = socket_path(home)
        if not accepts(path):
            with _turn(home):
                if not accepts(path):
                    _start(home, path)
    except OSError as error:
        raise TaskError(
            f"no local broker can be started in {home}: {error}; start one yourself and set LEVERET_URL"
        ) from error
    return f"amqp+unix://{quote(str(path))}"


def local_api(directory: Path | None = None) -> str:
    """The URL of the same broker's management API."""
    local_url(directory)
    home = (directory or Path.cwd()).resolve() / ".leveret"
    return f"http+unix://{quote(str(api_path(socket_path(home))))}"


def api_path(path: Path) -> Path:
    """Where the management API of a broker listens that listens at `path`."""
    return path.with_name("http.sock")


def accepts(path: Path) -> bool:
    """Whether a broker listens on the socket. A file alone says nothing: it outlives a killed broker."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def socket_path(home: Path) -> Path:
    """In `home` if the kernel takes so long a path; else in the temporary directory, which .leveret/socket records."""
    path = home / "broker.sock"
    if len(os.fsencode(path)) <= SOCKET_BYTES_MAX:
        return path
    import hashlib  # which, with tempfile, takes a while to load, and most paths are short
    import tempfile

    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"leveret-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    # The name can be guessed: somebody else's directory there would put somebody else's broker in our way.
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise TaskError(f"{short} is not a directory of this user alone: remove it, or set LEVERET_URL")
    path = short / "broker.sock"
    (home / "socket").write_text(f"{path}\n")
    return path


@contextmanager
def _turn(home: Path) -> Iterator[None]:
    """Waits for the starter before us, which has a deadline; a lock's owner that dies gives it up."""
    with (home / "starting.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(home: Path, path: Path) -> None:
    """Start it apart from this program's session and wait until it listens."""
    (home / ".gitignore").write_text("*\n")
    log = home / "broker.log"
    deadline = time.monotonic() + START_S
    process = _spawn(home, path, log)
    while not accepts(path):
        late = time.monotonic() > deadline
        if process.poll() == IN_USE and not late:  # by one that is about to end, or to listen
            time.sleep(IN_USE_S)
            process = process if accepts(path) else _spawn(home, path, log)
        elif process.returncode is not None:
            raise TaskError(f"the local broker ended with code {process.returncode}:\n{_tail(log)}")
        elif late:
            process.kill()
            raise TaskError(f"the local broker was not ready within {START_S:.0f} s:\n{_tail(log)}")
        time.sleep(LOOK_S)
    if process.returncode is None:
        (home / "broker.pid").write_text(f"{process.pid}\n")


def _spawn(home: Path, path: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "leveret", "broker", "--socket", str(path), "--no-tcp"]
    command += ["--set", f"management.socket={api_path(path)}", "--set", "management.tcp=false"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--data", str(home / "data")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _started.append(process)
    return process


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip() or f"(nothing is in {log})"
