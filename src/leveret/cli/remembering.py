"""Fills a history in the broker's own process: what workers say, what the broker does with messages, how queues stand.

On the broker's loop, a little at a time: what it costs there is bounded, and nothing of it is on a message's way. Made by cli/company;
server/run keeps it at work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, Self

from leveret.broker.notices import Noted
from leveret.broker.queue import Queue
from leveret.cli.overhearing import Overhearing
from leveret.history import FILE, Figures, History, Limits, Notice
from leveret.server.server import Server

log = logging.getLogger("leveret.history")

NOTE_S: Final = 1.0
SAMPLE_S: Final = 5.0
SAMPLE_PART: Final = 200
"""Where there are very many queues it is looked less often: looking takes one part in so many of the time."""

SLICE_QUEUES: Final = 500
"""So many are looked at before others have their turn: about a millisecond's work."""

PASSING: Final = "leveret."
"""So the names of queues begin that are only a way for messages."""


class Remembering(Overhearing):
    """`async with` it while the server runs; the history is open from the start."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        config = server.config
        wanted = config.history
        path = None if config.directory is None else config.directory / FILE
        self.history = History.open(
            path, Limits(tasks_max=wanted.tasks_max, days=wanted.days, bytes_max=wanted.bytes_max)
        )
        self.hearers.append(lambda vhost, events, now: self.history.take(events, now, vhost))
        self._notices = server.broker.take_notes(PASSING)
        self._tending: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tending = [asyncio.create_task(work) for work in (self._tend_notes(), self._tend_samples())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tending:
            task.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)
        await super().__aexit__()
        self._note()
        await self.history.close()

    # ---- what the broker does

    async def _tend_notes(self) -> None:
        while True:
            await asyncio.sleep(NOTE_S)
            self._note()

    def _note(self) -> None:
        noted = self._notices.take()
        if noted:
            self.history.notice([_notice(one) for one in noted], time.time())

    async def _tend_samples(self) -> None:
        while True:
            took_s = await self._sample()
            await asyncio.sleep(max(SAMPLE_S, took_s * SAMPLE_PART))

    async def _sample(self) -> float:
        """How many seconds of the loop's time it took."""
        queues = [queue for vhost in self._server.broker.vhosts.values() for queue in vhost.queues.values()]
        figures: list[Figures] = []
        took_s = 0.0
        for first in range(0, len(queues), SLICE_QUEUES):
            began_s = time.perf_counter()
            figures += map(_figures, queues[first : first + SLICE_QUEUES])
            took_s += time.perf_counter() - began_s
            await asyncio.sleep(0)
        self.history.sample(figures, time.time())
        return took_s


def _figures(queue: Queue) -> Figures:
    ready = queue.backlog.count
    return Figures(
        queue.vhost.name,
        queue.name,
        ready,
        queue.unacked,
        queue.published,
        queue.acknowledged + queue.counts.no_ack + queue.counts.got_no_ack,
        len(queue.consumers),
    )


def _notice(noted: Noted) -> Notice:
    return Notice(
        at=noted.at_ms / 1000,
        vhost=noted.vhost,
        queue=noted.queue,
        what=noted.what,
        why=noted.why,
        connection=noted.connection,
        number=noted.number,
        ids=noted.ids,
    )
