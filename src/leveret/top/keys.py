"""The keys of a terminal, one by one, as names that top/view knows; and the terminal as it was, afterwards."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Final

NAMES: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "pageup",
    "\x1b[6~": "pagedown",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[Z": "backtab",
    "\x1b": "escape",
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}
READ: Final = 1024


def names(text: str) -> list[str]:
    """What was read at once, key by key; what is no key that we know is left out."""
    keys: list[str] = []
    while text:
        known = max((one for one in NAMES if text.startswith(one)), key=len, default="")
        if known == "\x1b" and len(text) > 1:
            text = _behind_sequence(text)
        elif known:
            keys.append(NAMES[known])
            text = text[len(known) :]
        else:
            keys.append(text[0])
            text = text[1:]
    return keys


def _behind_sequence(text: str) -> str:
    """Without the sequence that it begins with: of a function key, or the mouse."""
    rest = text[2:]
    if text[1] not in "[O":
        return rest
    ends = next((place for place, one in enumerate(rest) if "@" <= one <= "~"), len(rest))
    return rest[ends + 1 :]


@contextlib.contextmanager
def one_by_one(number: int) -> Iterator[None]:
    """Keys come as they are pressed, and are not shown; Ctrl-C is what it always is."""
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def read(number: int) -> list[str] | None:
    """Those that were pressed. None: the terminal is gone."""
    try:
        data = os.read(number, READ)
    except OSError:
        return None
    return names(data.decode(errors="replace")) if data else None


def terminal() -> int | None:
    """Where keys come from, if there is somebody."""
    with contextlib.suppress(ValueError, OSError):
        return sys.stdin.fileno() if sys.stdin.isatty() else None
    return None
