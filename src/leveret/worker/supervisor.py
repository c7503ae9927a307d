"""Keeps a number of worker processes running, replaces those that die, and says how they fare.

Each child loads the program for itself (spawning): what a program opened is not shared by accident. Stopping, in order:
  1. each child is told `stop` down its lifeline, and stops as worker describes
  2. a second signal tells them `quit`, a third kills them
  3. a child that still runs after its grace is killed; the broker has back what it held
SIGTSTP tells them `quiet`. A child that was stopped by an order is not replaced, and after the last of them the supervisor ends.
The lifelines end with this process, so that its children stop even if it is killed. Used by main
and run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import setproctitle

from leveret.worker.banner import banner
from leveret.worker.counts import Count, total
from leveret.worker.lifeline import QUIT, SIGNALS, STOP
from leveret.worker.options import Options
from leveret.worker.overview import Overview
from leveret.worker.place import Place
from leveret.worker.reloading import changes, load_watcher
from leveret.worker.spawning import Spawned
from leveret.worker.status import Status

if TYPE_CHECKING:
    from leveret.worker.health import Health

log = logging.getLogger("leveret.worker")

NAMED_MAX: Final = 3
"""So many files that changed are named."""


class Supervisor:
    """`children` were started already. TaskError: something that was asked for is not there."""

    def __init__(
        self, app: str, options: Options, environment: Mapping[str, str], children: Sequence[Spawned] = ()
    ) -> None:
        self.app = app
        self.options = options
        self.environment = environment
        self._children = children
        self._signals = 0
        self._code = 0
        self._retired: list[Count] = []
        self._introduced = False
        self._health_url = ""
        if options.reload:
            load_watcher()

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or until the program proves unfit; the exit code."""
        setproctitle.setproctitle(f"leveret: supervisor of {self.options.processes} for {self.app}")
        # asyncio's own loop: it leaves SIGCHLD to us, and is the smaller one.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(self._run())

    async def _run(self) -> int:
        self.stopping = asyncio.Event()
        self.changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signal)
        loop.add_signal_handler(signal.SIGTSTP, self._fall_quiet)
        loop.add_signal_handler(signal.SIGCHLD, self._look_after)
        self._places = [
            Place(self, number, first)
            for number, first in zip_longest(range(1, self.options.processes + 1), self._children)
        ]
        health = self._open_health()
        reloading = loop.create_task(self._reload()) if self.options.reload else None
        await asyncio.gather(*(place.keep() for place in self._places))
        self.stopping.set()
        if reloading is not None:
            await reloading
        if health is not None:
            await health.close()
        return self._code

    # ---- what places ask and say

    def give_up(self, code: int) -> None:
        """A child said that it cannot work so: others would fare no better."""
        self._code = code
        self._stop(STOP)

    def heard(self, status: Status) -> None:
        if status.about is not None and not self._introduced:
            self._introduced = True
            log.info("%s", banner(self.app, self.options, status.about, self._health_url))

    def retire(self, status: Status) -> None:
        """A child is gone: what it counted is not."""
        self._retired = total(self._retired, status.counts)
        for count in self._retired:
            count.running = 0

    # ---- looking on

    def _open_health(self) -> Health | None:
        if not self.options.health_port:
            return None
        from leveret.worker.health import Health

        health = Health(self.options.health_host, self.options.health_port, self._look)
        self._health_url = health.url
        return health

    def _look(self) -> Overview:
        seen = [place.look() for place in self._places if not place.dismissed]
        counts = total(self._retired, *(one.status.counts for one in seen if one.status is not None))
        return Overview(seen, counts, sum(max(0, place.started - 1) for place in self._places))

    async def _reload(self) -> None:
        try:
            await self._follow()
        except Exception:  # of the watcher or the file system
            log.exception("the program's files are not watched any more: start the worker anew")

    async def _follow(self) -> None:
        async for paths in changes(self.app, self.stopping):
            names = ", ".join(os.path.relpath(path) for path in paths[:NAMED_MAX])
            more = f" and {len(paths) - NAMED_MAX} more" if len(paths) > NAMED_MAX else ""
            log.info("%s%s changed, the program is loaded anew", names, more)
            before, self.changed = self.changed, asyncio.Event()
            before.set()

    # ---- stopping

    def _look_after(self) -> None:
        for place in self._places:
            place.look_after()

    def _signal(self) -> None:
        self._signals += 1
        if self._signals > 2:
            for place in self._places:
                place.kill()
        self._stop(STOP if self._signals == 1 else QUIT)

    def _fall_quiet(self) -> None:
        for place in self._places:
            place.fall_quiet()

    def _stop(self, word: bytes) -> None:
        self.stopping.set()
        for place in self._places:
            place.tell(word)
