"""Processes of the examples, ours and others', and the lines they say, as they say them. Used by the tests here."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
ANSWER_S = 60.0
PYTHON = (sys.executable, "-u", "-m")


class Program:
    """A process of its own session, so that all of it can be killed; its output is put into `heard`, line by line.

    `command` is a Python module and its arguments, unless `runner` runs something else.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        heard: Heard,
        runner: Sequence[str] = PYTHON,
    ) -> None:
        self.process = subprocess.Popen(
            [*runner, *command],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(heard,), daemon=True).start()

    def _read(self, heard: Heard) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                heard.put(line.strip())

    def kill(self) -> None:
        """kill -9 of every process it has."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def leveret_worker(app: str, folder: Path, environment: Mapping[str, str], *options: str) -> Iterator[Heard]:
    """`leveret worker APP` in that folder, ready; what it says. Killed at the end."""
    heard = Heard()
    # Unbuffered, print would write a line and its end apart, and the log of another thread come between.
    buffered = {"PYTHONUNBUFFERED": "", **environment}
    runner = (sys.executable, "-m")
    program = Program(["leveret", "worker", app, *options], folder, buffered, heard, runner)
    try:
        heard.until(lambda line: "worker ready" in line)
        yield heard
    finally:
        program.kill()


class Heard:
    """Lines of all programs of a test, in the order they came."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []

    def put(self, line: str) -> None:
        self._lines.put(line)

    def until(self, wanted: Callable[[str], bool]) -> str:
        """The first line from here on for which `wanted` is true; the test fails if it does not come."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError("not said; what was said:\n" + "\n".join(self.said[-60:])) from None
            self.said.append(line)
            if wanted(line):
                return line

    def word(self, *words: str) -> str:
        """The first line from here on that begins with these words; returns the word after them, or nothing."""
        begin = " ".join(words)
        line = self.until(lambda said: f"{said} ".startswith(f"{begin} "))
        return line.removeprefix(begin).strip()
