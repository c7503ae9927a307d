"""One measurement's processes: a client and workers of one contestant, on a queue of their own, and the pipe they write to.

    with Session(contestant, place) as session:
        session.client.ask("send", 0, 1000, 0)
        session.start_workers()
        session.effects.wait_done(range(1000), 60)

Everything it started has ended, and its directory is gone, when it ends. Used by measures.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench import RoundFailed
from bench.tasks.effects import Effects
from bench.tasks.peers import SLOTS, Contestant
from bench.tasks.processes import Client, Command, kill
from bench.tasks.servers import Servers

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """What all measurements share."""

    servers: Servers
    leveret_python: str
    peers_python: str
    processes: int
    """Over how many worker processes the slots are spread, where a peer has a choice."""

    def python(self, contestant: Contestant) -> str:
        return self.leveret_python if contestant.peer.ours else self.peers_python


class Session:
    """`processes` goes before the place's; `results`: tasks return a value that is kept for their sender."""

    def __init__(self, contestant: Contestant, place: Place, processes: int = 0, results: bool = False) -> None:
        self.contestant = contestant
        self.processes = processes or place.processes
        self.workers: list[Command] = []
        self._python = place.python(contestant)
        self._server = place.servers[contestant.server]
        self._queue = f"bench_{next(_numbers)}"
        self._stack = ExitStack()
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="leveret-bench-")))
        self.effects = Effects(self._directory)
        self._stack.callback(self.effects.close)
        self._results_url = self._results(place.servers) if results else ""

    def _results(self, servers: Servers) -> str:
        """A Redis for those that need one; that of the contestant itself if it has one."""
        peer = self.contestant.peer
        return "leveret" if peer.ours else self._server.url if peer.server == "redis" else servers["redis"].url

    def __enter__(self) -> Self:
        try:
            self._stack.callback(self._server.clean, self._queue)
            self.client = Client(
                self._python, self.contestant.peer.app, self._environment(), self._directory / "client"
            )
            self._stack.callback(self.client.stop)
            self.client.await_ready()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _environment(self) -> dict[str, str]:
        """No PYTHONPATH, so that Leveret is the installed build; no settings of the caller's for any peer."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_URL": self._server.url,
            "BENCH_RESULTS_URL": self._results_url,
            "BENCH_MODE": self.contestant.mode,
            "BENCH_QUEUE": self._queue,
            "BENCH_SLOTS": str(SLOTS // self.processes),
            "BENCH_PIPE": str(self.effects.pipe),
            "BENCH_COMMAND": f"{os.getpid()}-{next(_numbers)}",
        }

    def _worker_argv(self) -> list[str]:
        values = {
            "processes": self.processes,
            "threads": SLOTS // self.processes,
            "slots": SLOTS,
            "queue": self._queue,
            "url": self._server.url,
        }
        return [self._python, *(word.format(**values) for word in self.contestant.peer.worker.split())]

    def _start_worker(self) -> Command:
        worker = Command(self._worker_argv(), self._environment(), self._directory / "worker")
        self._stack.callback(worker.stop)
        return worker

    def start_workers(self) -> Command:
        """The first one, which is the only one unless there is no supervisor for the processes that are wanted."""
        several = self.processes > 1 and not self.contestant.peer.supervised
        self.workers = [self._start_worker() for _ in range(self.processes if several else 1)]
        return self.workers[0]

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.stop()

    def replace_ended_workers(self) -> None:
        """As an init system would."""
        self.workers = [
            self._start_worker() if worker.process.poll() is not None else worker for worker in self.workers
        ]

    def kill_member(self, pid: int) -> None:
        """-9, to a process of the workers and to no other."""
        if not any(pid in worker.tree() for worker in self.workers):
            raise RoundFailed(f"process {pid}, which ran a task, is none of the workers'")
        kill(pid)

    def worker_said(self) -> str:
        """Its last line, for a message."""
        said = self.workers[0].said().strip() if self.workers else ""
        return said.splitlines()[-1][:200] if said else "nothing"
