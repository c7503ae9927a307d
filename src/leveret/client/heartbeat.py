"""When to send a heartbeat, and when to give the peer up (AMQP 0-9-1 section 4.2.7).

Looked at every half interval: nothing written since, so send one; nothing heard for two whole intervals, so the peer
is gone. Any traffic counts. No clock in here: client/transport calls `tick`.
"""

from __future__ import annotations

from typing import Final

SILENT_TICKS_MAX: Final = 4
"""Half intervals without a byte: two heartbeats missed."""


class Heartbeat:
    """`interval_s` as negotiated, not 0."""

    def __init__(self, interval_s: int) -> None:
        self.interval_s: Final = interval_s
        self.period_s: Final = interval_s / 2
        self._heard = 0
        self._written = 0
        self._silent_ticks = 0

    def tick(self, heard: int, written: int) -> bool:
        """Given the octets heard and written so far: whether a heartbeat is due."""
        self._silent_ticks = 0 if heard != self._heard else self._silent_ticks + 1
        due = written == self._written
        self._heard = heard
        self._written = written
        return due

    @property
    def dead(self) -> bool:
        return self._silent_ticks >= SILENT_TICKS_MAX
