"""The driver's end of the pipe that every task writes to: which tasks ran, when, how often and in which process.

Nothing lost goes unseen: a measurement asks for the numbers it sent, not for a number of messages.
"""

import os
import select
import struct
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from typing import NamedTuple

RECORD = struct.Struct("<IIdB")
"""As in apps/effect.py, which the peers' Pythons import and this one does not."""
STARTED, DONE = 0, 1
CHUNK_BYTES = RECORD.size * 3_000


class Effect(NamedTuple):
    number: int
    pid: int
    at: float
    """CLOCK_MONOTONIC, the same for all processes, in seconds."""


class Effects:
    """Of one session. `pipe` is what its processes are told to write to."""

    def __init__(self, directory: Path) -> None:
        self.pipe = directory / "effects"
        os.mkfifo(self.pipe)
        # Also a writer: so it has no end, whoever comes and goes.
        self._descriptor = os.open(self.pipe, os.O_RDWR | os.O_NONBLOCK)
        self.done: list[Effect] = []
        self.started: list[Effect] = []
        self.times: Counter[int] = Counter()
        """How often each number was done."""
        self._news = threading.Condition()
        self._closed, self._closing = os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while self._closed not in select.select([self._descriptor, self._closed], [], [])[0]:
            data = rest + os.read(self._descriptor, CHUNK_BYTES)
            whole = len(data) - len(data) % RECORD.size
            rest = data[whole:]
            with self._news:
                for number, pid, at, kind in RECORD.iter_unpack(data[:whole]):
                    self._take(Effect(number, pid, at), kind)
                self._news.notify_all()

    def _take(self, effect: Effect, kind: int) -> None:
        if kind == STARTED:
            self.started.append(effect)
            return
        self.done.append(effect)
        self.times[effect.number] += 1

    def wait_done(self, numbers: range, timeout_s: float) -> bool:
        """Whether each of them was done at least once within that time. They are numbers that only these have."""
        return self.wait_count(len(numbers), numbers, timeout_s)

    def wait_count(self, count: int, numbers: range, timeout_s: float) -> bool:
        """As `wait_done`, for any `count` of them."""
        deadline = monotonic() + timeout_s
        with self._news:
            while len(self.times) < count or self.among(numbers) < count:
                if not self._news.wait(max(0.0, deadline - monotonic())) and monotonic() >= deadline:
                    return False
            return True

    def among(self, numbers: Iterable[int]) -> int:
        """How many of them were done."""
        return sum(1 for number in numbers if number in self.times)

    def of(self, numbers: range) -> list[Effect]:
        """What was done of them, in the order of its doing."""
        with self._news:
            return sorted((effect for effect in self.done if effect.number in numbers), key=lambda effect: effect.at)

    def begun(self, numbers: range) -> list[Effect]:
        """What was started of them. Only tasks that sleep say that they start."""
        with self._news:
            return sorted((effect for effect in self.started if effect.number in numbers), key=lambda effect: effect.at)

    def close(self) -> None:
        os.write(self._closing, b"x")
        self._thread.join()
        for descriptor in (self._descriptor, self._closed, self._closing):
            os.close(descriptor)
