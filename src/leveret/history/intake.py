"""What came in and is not written yet: so much of it in a second and no more. Filled on the loop, emptied by history/keeper's thread.

Beats always find room, for their sums make up for events that are left out; failures find room for longer than what went well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from leveret.history.rows import Figures, Notice
from leveret.tasks.events import AnyEvent, Beat, Failed, Progressed, Started, Succeeded

TAKEN_PER_S: Final = 2_000
FAILURES_PER_S: Final = 4_000
BEATS_PER_S: Final = 2_000
WAITING_MAX: Final = 40_000
"""If its thread is stuck (a slow disk), so many wait."""

TRACED_CHARACTERS_MAX: Final = 1_000_000
"""Of what waits so much may be tracebacks; failures beyond that are kept without."""


class Heard(NamedTuple):
    at: float
    vhost: str
    event: AnyEvent


class Sample(NamedTuple):
    at: float
    figures: Sequence[Figures]


Piece = Heard | Notice | Sample


class Intake:
    def __init__(self) -> None:
        self.left_out = 0
        self._waiting: deque[Piece] = deque()
        self._second = 0
        self._taken = 0
        self._beats = 0
        self._traced = 0

    def take(self, events: Sequence[AnyEvent], now: float, vhost: str) -> None:
        self._turn(now)
        for event in events:
            if isinstance(event, Beat):
                fits = self._beats < BEATS_PER_S
                self._beats += fits
            else:
                fits = self._taken < (TAKEN_PER_S if isinstance(event, LESS) else FAILURES_PER_S)
                self._taken += fits
            self._add(Heard(now, vhost, self._bounded(event)), fits)

    def notice(self, notices: Sequence[Notice], now: float) -> None:
        self._turn(now)
        for notice in notices:
            fits = self._taken < FAILURES_PER_S
            self._taken += fits
            self._add(notice, fits)

    def sample(self, figures: Sequence[Figures], now: float) -> None:
        self._add(Sample(now, figures), True)

    def _turn(self, now: float) -> None:
        if int(now) != self._second:
            self._second, self._taken, self._beats = int(now), 0, 0

    def _bounded(self, event: AnyEvent) -> AnyEvent:
        if not isinstance(event, Failed) or not event.traceback:
            return event
        if self._traced >= TRACED_CHARACTERS_MAX:
            return msgspec.structs.replace(event, traceback="")
        self._traced += len(event.traceback)
        return event

    def _add(self, piece: Piece, fits: bool) -> None:
        if fits and len(self._waiting) < WAITING_MAX:
            self._waiting.append(piece)
        else:
            self.left_out += 1

    def drain(self) -> list[Piece]:
        """On the thread: all that is there, in the order in which it came."""
        self._traced = 0
        return [self._waiting.popleft() for _ in range(len(self._waiting))]


LESS: Final = (Started, Progressed, Succeeded)
"""Of less interest than those that failed."""
