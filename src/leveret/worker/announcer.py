"""Tells whoever listens what this worker does: the worker's half of tasks/events. Never in the way of a task.

Every BEAT_S the worker says that it lives. That message alone is mandatory and confirmed: if it comes back nobody listens,
`watched` is false, and until a later one arrives no event is made. (Until the first is answered events are held.) Events are
gathered for GATHER_S and published together, unconfirmed; those that the broker does not take in time are dropped and counted.
Of very many tasks events are made of some (worker/budget), and the beats sum up the rest (worker/sums). What goes wrong here is
logged at debug level and forgotten. Used by runner and worker, on the worker's event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from leveret import __version__
from leveret.client import BasicProperties, Channel, Connection, StandingChannel
from leveret.errors import ChannelError, LeveretError, Unroutable
from leveret.tasks import Cancelled, Done, Failed, Message, Outcome, Progress, events
from leveret.tasks.events import BEAT_S, EXCHANGE, KINDS, Beat, Event, Running, address, kind_of
from leveret.tasks.outcome import TEXT_CHARACTERS_MAX
from leveret.worker.budget import Budget
from leveret.worker.counts import Count
from leveret.worker.glimpse import glimpse
from leveret.worker.sums import Mark, Sums
from leveret.worker.wear import resident_bytes

log = logging.getLogger("leveret.worker")

GATHER_S: Final = 0.1
PUBLISH_S: Final = 5.0
CLOSE_S: Final = 1.0
REFUSED_S: Final = 60.0
"""So long nothing is tried after the broker has refused it: it will go on refusing."""

GATHERED_MAX: Final = 20_000
RUNNING_MAX: Final = 100
TRACED_CHARACTERS_MAX: Final = 16_000
"""Of what is published together so much may be tracebacks: where very many tasks fail, these are not to crowd out the events."""

ARGUMENT_BYTES: Final = 200
"""Of a message's body so much is told when its task begins."""

NOT_FOUND: Final = 404
"""The exchange was deleted: it is declared again for the next beat."""

JSON: Final = BasicProperties(content_type="application/json")

UnderWay = Callable[[], Sequence[Running]]
"""What runs, the oldest first."""


def _this_process(place: int) -> Beat:
    host, pid = socket.gethostname(), os.getpid()
    return Beat(
        worker=f"{host}:{pid}:{uuid.uuid4().hex[:6]}",
        host=host,
        pid=pid,
        version=__version__,
        started=time.time(),
        supervisor=f"{host}:{os.getppid()}" if place else "",
        place=place,
    )


class Announcer:
    """`program`, `queues`, `slots` and what follows is what the worker says of itself. `open` begins, `close` says good-bye."""

    def __init__(
        self,
        connection: Connection,
        program: str,
        queues: Sequence[str],
        slots: int,
        *,
        weights: Mapping[str, int] = {},
        place: int = 0,
        beat_s: float = BEAT_S,
    ) -> None:
        self.watched = False
        """Whether anybody listens. Events are made only then: whoever has one asks this first."""
        self.made = 0
        """How many events were made."""
        self.beats = 0
        """How often it was found out whether anybody listens."""
        self._loop = asyncio.get_running_loop()
        self._beats = StandingChannel(connection, confirms=True)
        self._events = StandingChannel(connection)
        self._ready: Channel | None = None
        self._beat_s = beat_s
        self._publish_s = PUBLISH_S
        self._gathered: dict[str, dict[str, list[Event]]] = {}
        self._progress: dict[tuple[str, int], events.Progressed] = {}
        self._count = 0
        self._traced = 0
        self._lost = 0
        self._some = asyncio.Event()
        self._first_beat = asyncio.Event()
        self._tending: list[asyncio.Task[None]] = []
        self._under_way: UnderWay = tuple
        self._ended: Callable[[], int] = int
        self.budget = Budget(self._loop.call_later)
        self._sums = Sums()
        self._state = "running"
        self._about = msgspec.structs.replace(
            _this_process(place),
            program=program,
            every_s=beat_s,
            slots=slots,
            queues=list(queues),
            weights=dict(weights),
        )
        self.worker = self._about.worker

    # ---- its life

    def open(self, under_way: UnderWay, ended: Callable[[], int], counts: Callable[[], list[Count]]) -> None:
        """From now on. `ended` tells how many tasks have ended here, `counts` how."""
        self._under_way, self._ended = under_way, ended
        self._sums.open(counts)
        self.watched = True
        self._tending = [self._loop.create_task(tend()) for tend in (self._tend_beats, self._tend_events)]

    def be(self, state: str) -> None:
        """`running`, or it takes nothing new: `quiet` or `stopping`, as its beats say from now on."""
        self._state = state

    async def close(self) -> None:
        """What is gathered is published, and that this worker is gone. Never raises but when cancelled."""
        if not self._tending:
            return
        for task in self._tending:
            task.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)
        self._state, self._publish_s = "stopped", CLOSE_S
        self._events = self._beats  # on one channel the good-bye cannot overtake them
        for publish in (self._flush, self._beat):
            if self.watched:
                await self._forgiving(publish)
        self.watched = False

    async def _tend_beats(self) -> None:
        while True:
            refused = not await self._forgiving(self._beat)
            self._first_beat.set()
            await asyncio.sleep(REFUSED_S if refused else self._beat_s)

    async def _tend_events(self) -> None:
        await self._first_beat.wait()
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_S)
            self._some.clear()
            await self._forgiving(self._flush)

    async def _forgiving(self, publish: Callable[[], Awaitable[None]]) -> bool:
        """False if there is no use in trying it again soon. No event is worth an error."""
        try:
            await publish()
        except LeveretError as error:
            log.debug("events are not published just now: %s", error)
            self.watched = False
            return not isinstance(error, ChannelError) or error.code == NOT_FOUND
        except Exception:
            log.exception("events are not published: this is an error of Leveret's own")
            self.watched = False
        return True

    # ---- what is said of tasks

    def started(self, message: Message) -> None:
        if not self.budget.begins(message):
            return
        sent = message.properties.timestamp
        sent_s = sent.timestamp() if isinstance(sent, datetime) else None
        argument = message.body[:ARGUMENT_BYTES].decode("utf-8", "ignore") if message.task else ""
        self._add(events.Started(**self._of(message), sent=sent_s, argument=argument))

    def progress(self, message: Message, progress: Progress) -> None:
        """On any thread. Of what is said before it is published the last counts."""
        said = events.Progressed(
            **self._of(message), done=progress.done, total=progress.total, text=progress.text[:TEXT_CHARACTERS_MAX]
        )
        first = not self._progress
        self._progress[message.id, message.attempt] = said
        self.made += 1
        if first:
            self._loop.call_soon_threadsafe(self._some.set)

    def ended(self, message: Message, name: str, outcome: Outcome) -> None:
        """`name`: under which it is counted."""
        budget = self.budget
        if budget.succeeds(message) if isinstance(outcome, Done) else budget.fails(message):
            for event in self._endings(message, outcome):
                if self._add(event):
                    self._sums.told(message.queue, name, kind_of(event))

    def _endings(self, message: Message, outcome: Outcome) -> Iterator[events.TaskEvent]:
        about: dict[str, Any] = self._of(message)
        if isinstance(outcome, Done):
            yield events.Succeeded(**about, took_s=outcome.took_s, result=glimpse(outcome.value))
            return
        if isinstance(outcome, Cancelled):
            yield events.Cancelled(**about, took_s=outcome.took_s)
            return
        failure = outcome.failure
        about |= {"exception": failure.exception, "error": failure.text}
        if failure.tried:
            yield events.Failed(**about, took_s=outcome.took_s, traceback=self._traceback(failure.traceback))
        if isinstance(outcome, Failed):
            yield events.Retried(**about, delay_s=outcome.delay_s)
        else:
            yield events.Parked(**about, took_s=outcome.took_s, reason=outcome.reason)

    def _traceback(self, whole: str) -> str:
        """Nothing, if there is no room for it."""
        told = whole[-events.TRACEBACK_CHARACTERS_MAX :]
        if self._traced + len(told) > TRACED_CHARACTERS_MAX:
            return ""
        self._traced += len(told)
        return told

    def _of(self, message: Message) -> dict[str, Any]:
        return {
            "time": time.time(),
            "worker": self.worker,
            "task": message.task,
            "id": message.id,
            "queue": message.queue,
            "attempt": message.attempt,
        }

    def _add(self, event: events.TaskEvent) -> bool:
        if self._count >= GATHERED_MAX:
            self._lost += 1
            return False
        self._count += 1
        self.made += 1
        self._gathered.setdefault(kind_of(event), {}).setdefault(event.queue, []).append(event)
        self._some.set()
        return True

    # ---- how it gets there

    async def _flush(self) -> None:
        gathered, self._gathered, self._count, self._traced = self._gathered, {}, 0, 0
        progress, self._progress = self._progress, {}
        for said in list(progress.values()):  # a copy: some thread may still be adding
            gathered.setdefault("progress", {}).setdefault(said.queue, []).append(said)
        left = sum(len(some) for queues in gathered.values() for some in queues.values())
        try:
            channel = await self._events.get()
            for kind in KINDS:  # so that nothing ends before it has begun
                for queue, some in gathered.get(kind, {}).items():
                    await self._publish(channel, address(kind, queue), some)
                    left -= len(some)
        except LeveretError:
            self._lost += left
            raise

    async def _publish(self, channel: Channel, routing_key: str, some: list[Event]) -> None:
        await channel.publish(
            msgspec.json.encode(some),
            exchange=EXCHANGE,
            routing_key=routing_key,
            properties=JSON,
            timeout_s=self._publish_s,
        )

    async def _beat(self) -> None:
        channel = await self._beats.get()
        if channel is not self._ready:
            await channel.exchange_declare(EXCHANGE, "topic", durable=True)
            self._ready = channel
        mark = self._sums.mark()
        try:
            await channel.publish(
                msgspec.json.encode([self._now(mark)]),
                exchange=EXCHANGE,
                routing_key=address(kind_of(self._about), self.worker),
                properties=JSON,
                mandatory=True,
                timeout_s=self._publish_s,
            )
        except Unroutable:
            self.watched = False
            self._gathered, self._progress, self._count, self._traced = {}, {}, 0, 0
            self.budget.begun.clear()
        else:
            self.watched = True
        self._sums.passed(mark)
        self.beats += 1

    def _now(self, mark: Mark) -> Beat:
        running = self._under_way()
        return msgspec.structs.replace(
            self._about,
            time=time.time(),
            state=self._state,
            busy=len(running),
            ran=self._ended(),
            lost=self._lost,
            memory_bytes=resident_bytes(),
            running=list(running[:RUNNING_MAX]),
            ended=self._sums.since(mark),
        )
