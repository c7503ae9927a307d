"""A worker's or a client's process with all its descendants: started, looked at, killed by their own ids. Linux only (/proc).

Some supervisors start children in sessions of their own and some children outlive their parents, so each process is
also known by the pipe in its environment, which no other process has.
"""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from threading import Timer
from time import monotonic, sleep
from typing import Any, NamedTuple

from bench import RoundFailed

STOP_S = 8.0
ANSWER_S = 180.0
"""How long one order to a client may take."""
APPS = Path(__file__).parent / "apps"


class Command:
    """A process in a session of its own, its output in `log`."""

    def __init__(self, argv: list[str], environment: dict[str, str], log: Path, piped: bool = False) -> None:
        self.environment = environment
        self.log = log
        self.began = monotonic()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                argv,
                cwd=APPS,
                env=environment,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                start_new_session=True,
                text=True,
            )

    def tree(self) -> set[int]:
        """The ids of all that belongs to it and runs."""
        marker = f"BENCH_COMMAND={self.environment['BENCH_COMMAND']}\0".encode()
        parents = {pid: birth.parent for pid in running() if (birth := birth_of(pid)) is not None}
        mine = {self.process.pid} & parents.keys()
        mine |= {pid for pid in parents if marker in environment_of(pid)}
        while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
            mine |= more
        return mine

    def memory_mb(self) -> float:
        """The proportional set size of all of it, in units of 10^6 bytes."""
        return sum(proportional_kb(pid) for pid in self.tree()) * 1024 / 1e6

    def stop(self) -> None:
        """SIGTERM to its head, a grace, and SIGKILL to what is left of it all."""
        members = {pid: birth_of(pid) for pid in self.tree()}
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        # Parents are compared by nothing: an orphan has another one. The time of birth tells an id that was given anew.
        orphans = {pid for pid, birth in members.items() if birth and (now := birth_of(pid)) and now.at == birth.at}
        for pid in self.tree() | orphans:
            kill(pid)
        self.process.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


class Client(Command):
    """`apps/client.py` with one app: takes an order and answers."""

    def __init__(self, python: str, app: str, environment: dict[str, str], log: Path) -> None:
        super().__init__([python, "client.py", app], environment, log, piped=True)

    def await_ready(self) -> None:
        self._line("ready")

    def ask(self, order: str, *numbers: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            print(order, *numbers, file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._line("answer"))
        return answer

    def _line(self, start: str) -> str:
        """What follows that word; libraries may print what they like before. RoundFailed if it does not come in time."""
        assert self.process.stdout is not None
        watchdog = Timer(ANSWER_S, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                if line.startswith(start):
                    return line.removeprefix(start)
        finally:
            watchdog.cancel()
        raise RoundFailed(f"the client ended: {(self.said().strip() or 'no message').splitlines()[-1]}")

    def stop(self) -> None:
        """Closing its stdin is how it is told to end."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        super().stop()


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def running() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


class Birth(NamedTuple):
    parent: int
    at: int
    """In clock ticks since the machine started."""


def birth_of(pid: int) -> Birth | None:
    """None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Birth(int(fields[1]), int(fields[19]))


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def proportional_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def settle(seconds: float) -> None:
    """Let what was just busy become idle. The only wait for a time and not for an event."""
    sleep(seconds)
