"""Watches memory and disk, and sets the broker's alarms. Made and started by server/server; measures every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from leveret.broker.alarms import Alarms
from leveret.server.config import Limits
from leveret.server.gauges import Gauges

log = logging.getLogger("leveret.alarm")


class Watch:
    """`turn` is called before an alarm changes, as everything that happens in the broker begins a turn of the loop."""

    def __init__(
        self, alarms: Alarms, limits: Limits, gauges: Gauges, directory: Path | None, turn: Callable[[], None]
    ) -> None:
        self._alarms = alarms
        self._limits = limits
        self._gauges = gauges
        self._directory = directory
        self._turn = turn
        self._timer: asyncio.TimerHandle | None = None
        self._stuck = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure now, and again every `alarm_check_s`."""
        self.check()
        self._timer = loop.call_later(self._limits.alarm_check_s, self.start, loop)

    def stop(self) -> None:
        """No alarm is on any more, nor comes: who is blocked can be told good-bye."""
        if self._timer is not None:
            self._timer.cancel()
            self._alarms.set(False, False)

    def stuck(self, reason: str) -> None:
        """The store waits for something (or, if empty, no more): until it goes on, publishers are blocked."""
        if reason:
            log.error("the message store cannot write and waits for %s; nothing is confirmed until then", reason)
        else:
            log.warning("the message store writes again; nothing was lost")
        self._stuck = reason != ""
        self.check()

    def check(self) -> None:
        """Measure, and set or clear the alarms."""
        alarms, limits, gauges = self._alarms, self._limits, self._gauges
        total = gauges.memory_total()
        alarms.memory_limit = int(total * limits.memory_high_watermark)
        alarms.disk_limit = limits.disk_free_bytes_min
        if alarms.memory:
            gauges.give_back()
        alarms.memory_used = gauges.memory_used()
        alarms.disk_free = gauges.disk_free(self._directory)
        memory = total > 0 and alarms.memory_used > alarms.memory_limit
        disk = self._stuck or 0 < alarms.disk_free < alarms.disk_limit
        if (memory, disk) != (alarms.memory, alarms.disk):
            self._change(memory, disk)

    def _change(self, memory: bool, disk: bool) -> None:
        alarms = self._alarms
        self._turn()
        alarms.set(memory, disk)
        figures = (
            f"memory {alarms.memory_used} of at most {alarms.memory_limit} octets, "
            f"disk {alarms.disk_free} free of at least {alarms.disk_limit}"
        )
        if alarms.on:
            log.warning("%s: publishers are blocked until this is over (%s)", alarms.reason, figures)
        else:
            log.warning("no alarm any more: publishers go on (%s)", figures)
