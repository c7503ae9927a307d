"""What whoever sits at the terminal has chosen to see: which panel, from which row, in what order. Keys go in. Pure.

Fed by top/run, read by top/drawing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

QUEUES: Final = "queues"
WORKERS: Final = "workers"
RUNNING: Final = "running"
FAILURES: Final = "failures"
PANELS: Final = (QUEUES, WORKERS, RUNNING, FAILURES)

ORDERS: Final = {
    QUEUES: ("name", "ready", "done", "failed"),
    WORKERS: ("name", "busy", "ran", "memory"),
    RUNNING: ("age", "task", "queue", "worker"),
    FAILURES: ("newest", "task", "queue"),
}
STEPS: Final = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -10, "pagedown": 10, "home": -(10**9), "end": 10**9}
FILTER_CHARACTERS_MAX: Final = 100

HELP: Final = (
    ("q", "quit"),
    ("tab, shift-tab", "the next panel, the one before, which then has the most room"),
    ("j k, up down", "scroll that panel by one row"),
    ("page up, down", "by ten"),
    ("home, end", "to its first row, its last"),
    ("s", "sort it by something else: the last line says by what"),
    ("f or /", "show only what contains a text"),
    ("enter, escape", "keep that text, drop it"),
    ("p or space", "pause, and go on"),
    ("? or h", "this help"),
)


@dataclass(slots=True)
class View:
    focus: str = RUNNING
    filter: str = ""
    typing: bool = False
    """The keys are the filter's just now."""
    paused: bool = False
    help: bool = False
    over: bool = False
    first: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PANELS, 0))
    """By panel, which row is shown first. What is beyond the end is set right when it is drawn."""
    sorted_by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PANELS, 0))

    def order(self, panel: str) -> str:
        return ORDERS[panel][self.sorted_by[panel]]

    def press(self, key: str) -> None:
        """A character, or the name of a key as top/keys has it."""
        if self.typing:
            self._type(key)
        elif self.help:
            self.help = False
        elif key in STEPS:
            self.first[self.focus] = max(0, self.first[self.focus] + STEPS[key])
        else:
            self._command(key)

    def _command(self, key: str) -> None:
        if key == "q":
            self.over = True
        elif key in ("tab", "backtab"):
            step = 1 if key == "tab" else -1
            self.focus = PANELS[(PANELS.index(self.focus) + step) % len(PANELS)]
        elif key == "s":
            self.sorted_by[self.focus] = (self.sorted_by[self.focus] + 1) % len(ORDERS[self.focus])
        elif key in ("f", "/"):
            self.typing = True
        elif key == "escape":
            self.filter = ""
        elif key in ("p", " "):
            self.paused = not self.paused
        elif key in ("?", "h"):
            self.help = True

    def _type(self, key: str) -> None:
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, self.filter = False, ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter = (self.filter + key)[:FILTER_CHARACTERS_MAX]
        self.first = dict.fromkeys(PANELS, 0)
