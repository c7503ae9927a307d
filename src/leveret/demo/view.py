"""How the demo shows itself: a live screen on a terminal, plain lines anywhere else. Shows what it is given; used by run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from leveret.demo.tally import Tally, Worker

STEPS: Final = 10
"""Plain lines tell of the progress so often."""


class View(Protocol):
    def say(self, text: str) -> None:
        """Something happened."""

    def show(self, tally: Tally, ready: int, unacked: int) -> None:
        """How things stand: called many times a second."""

    def close(self) -> None:
        """Leave the last state standing."""


def view(console: Console) -> View:
    return Screen(console) if console.is_terminal else Lines(console)


class Lines:
    """A line for every event, and for every tenth part of the work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, tally: Tally, ready: int, unacked: int) -> None:
        step = tally.done * STEPS // len(tally.paths)
        if step > self._step:
            self._step = step
            workers = " ".join(f"{worker.pid}:{worker.done}" for worker in tally.workers.values())
            self.say(f"{tally.done} of {len(tally.paths)} done, {ready} ready, {unacked} unacknowledged; by {workers}")

    def close(self) -> None:
        """Nothing is left to show."""


class Screen:
    """A table that is drawn over and over, with the events above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def show(self, tally: Tally, ready: int, unacked: int) -> None:
        self._live.update(_drawing(tally, ready, unacked), refresh=True)

    def close(self) -> None:
        self._live.stop()


def _drawing(tally: Tally, ready: int, unacked: int) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for name in ("worker", "pid", "done", "redelivered"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("now", no_wrap=True, overflow="ellipsis", ratio=1)
    for worker in tally.workers.values():
        table.add_row(str(worker.number), str(worker.pid), str(worker.done), str(worker.redelivered), _now(worker))
    total = len(tally.paths)
    line = Table.grid(padding=(0, 2))
    line.add_row(
        ProgressBar(total, tally.done, width=40),
        f"{tally.done} of {total}",
        f"queue: {ready} ready, {unacked} unacknowledged",
    )
    return Group(table, line)


def _now(worker: Worker) -> Text:
    if worker.killed_s is not None:
        return Text("killed", style="red")
    if worker.current is None:
        return Text("")
    return Text(f"{Path(worker.current.path).name}  {max(0.0, time.time() - worker.current.at_s):.1f} s")
