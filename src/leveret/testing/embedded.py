"""A broker in this process: on a thread of its own, on a Unix socket, with nothing on disk and a clock that stands still.

One per harness, so every test begins with an empty one. Its state is looked at where it is, on its own event loop:
nothing is taken out of a queue to be shown.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from leveret.broker.message import Message
from leveret.broker.queue import Queue
from leveret.client.looping import new_loop
from leveret.server.config import Config, Limits, Management
from leveret.testing.clockwork import ClockworkServer
from leveret.testing.place import RUNG_NAMES, Place, Waiting, due, is_ticket, wait_ms
from leveret.wire.properties import decode_properties
from leveret.wire.values import decode_shortstr

log = logging.getLogger("leveret.testing")
T = TypeVar("T")

START_S: Final = 30.0
ADVANCE_S: Final = 600.0
"""A thousand delayed messages take some seconds to come down."""

PROPERTIES_AT: Final = 12
"""In a stored header, the payload of a header frame: behind class, weight and body size."""

QUIET: Final = Limits(consumer_timeout_s=0, heartbeat_s=0, close_s=1.0)
"""A debugger may stop everything for an hour, and a test's time may jump by years."""


class Embedded(Place):
    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="leveret-"))
        socket = self._directory / "s"
        self.url = f"amqp+unix://{quote(str(socket))}"
        self._config = Config(tcp=False, socket=socket, memory=True, limits=QUIET, management=Management(enabled=False))
        self._started: Future[tuple[asyncio.AbstractEventLoop, ClockworkServer]] = Future()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._main, name="leveret-test-broker", daemon=True)
        self._thread.start()
        self._loop, self._server = self._started.result(START_S)

    # ---- its thread

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        try:
            server = ClockworkServer(self._config)
            await server.start()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result((asyncio.get_running_loop(), server))
        await self._stop.wait()
        await server.stop()

    def _call(self, function: Callable[[], T], timeout_s: float = START_S) -> T:
        """Its result, on the broker's loop."""

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(timeout_s)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)
        shutil.rmtree(self._directory, ignore_errors=True)

    # ---- what the harness asks

    def now_ms(self) -> int:
        return self._server.now_ms()

    def empty(self, queues: Sequence[str]) -> None:
        """It is, for it is new."""

    def busy(self, queues: Sequence[str]) -> bool:
        return self._call(lambda: self._server.busy(queues))

    def idle(self, queues: Sequence[str], working: Callable[[], bool]) -> Future[None]:
        """A message counts until it is acknowledged, which comes after all that its task and its failure sent; what leaves a
        place of a limit to the next is known by the worker."""
        return asyncio.run_coroutine_threadsafe(self._server.idle(queues, working), self._loop)

    def regain(self, queues: Sequence[str]) -> None:
        """It does all the time: see `busy`."""

    def reach(self, until_ms: int) -> None:
        """Any time takes a moment."""

    def advance(self, until_ms: int, queues: Sequence[str]) -> bool:
        return self._call(lambda: self._server.advance(until_ms, queues), ADVANCE_S)

    def waiting(self, queues: Sequence[str]) -> list[Waiting]:
        return self._call(lambda: self._waiting(queues))

    def _waiting(self, queues: Sequence[str]) -> list[Waiting]:
        ready = [self._ready(name, message) for name in queues for message in self._messages(name)]
        ready += [
            self._ready(lane.dead_letter_key or "", message)
            for lane in self._server.lanes()
            for message in _in_order(lane)
        ]
        coming = [
            self._coming(number, message) for number, name in enumerate(RUNG_NAMES) for message in self._messages(name)
        ]
        coming.sort(key=lambda one: one.due_in_ms)
        return [one for one in ready + coming if one.queue in queues and not is_ticket(one.properties)]

    def _messages(self, queue: str) -> Iterator[Message]:
        found = self._server.queue(queue)
        return iter(()) if found is None else _in_order(found)

    def _ready(self, queue: str, message: Message) -> Waiting:
        return Waiting(queue, message.body, decode_properties(message.header, PROPERTIES_AT))

    def _coming(self, number: int, message: Message) -> Waiting:
        properties = decode_properties(message.header, PROPERTIES_AT)
        _, middle = decode_shortstr(message.address, 0)
        key, _ = decode_shortstr(message.address, middle)
        queue, due_in_ms = due(number, key, message.expires - self._server.now_ms(), wait_ms(properties))
        return Waiting(queue, message.body, properties, due_in_ms)


def _in_order(queue: Queue) -> Iterator[Message]:
    for level in queue.backlog.levels():
        yield from (message for _, message in sorted(level.returned, key=lambda entry: entry[0]))
        yield from level.window
