"""Runs `leveret top`: listens, asks for counts, takes keys, draws. Live on a terminal, once anywhere else.

Everything is on one event loop. What is known is in board, what was chosen in view, what it looks like in drawing.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import logging
import signal
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from leveret.board.board import Board
from leveret.client import run as run_on_loop
from leveret.errors import LeveretError
from leveret.tasks.events import BEAT_S
from leveret.tasks.listener import Listener
from leveret.top import keys
from leveret.top.counts import Counts
from leveret.top.drawing import screen, whole
from leveret.top.told import told
from leveret.top.view import View

DRAW_S: Final = 0.5
COUNT_S: Final = 2.0
ONCE_S: Final = BEAT_S * 1.25
"""So long each worker has been heard of."""

PLAIN_WIDTH: Final = 120
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def top(url: str, *, queues: Sequence[str] = (), once: bool = False, as_json: bool = False) -> None:
    """Until the user has seen enough; with `once`, or where no terminal is, for as long as it takes to know everybody.

    Raises what client.connect does, and ChannelError where listening is not allowed.
    """
    console = _console()
    live = console.is_terminal and not once and not as_json
    run_on_loop(_watch(url, queues, console) if live else _tell(url, queues, as_json))


def _console() -> Console:
    width = None if Console().is_terminal else PLAIN_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


async def _tell(url: str, queues: Sequence[str], as_json: bool) -> None:
    async with Listener(url, queues=queues, name="leveret top") as listener:
        top = Top(listener, queues)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ONCE_S):
                await top.listen()
        await top.counts.look(top.board, list(top.board.queues), time.time())
    now = time.time()
    if as_json:
        print(json.dumps(told(top.board, now, top.broker)))
        return
    wide = _console()
    wide.print(whole(top.board, now, top.broker, wide.width))


async def _watch(url: str, queues: Sequence[str], console: Console) -> None:
    async with Listener(url, queues=queues, name="leveret top") as listener:
        await Top(listener, queues).watch(console)


class Top:
    def __init__(self, listener: Listener, queues: Sequence[str]) -> None:
        self._listener = listener
        self.board = Board(time.time(), queues)
        self.counts = Counts(listener.connection)
        self.broker = _broker(listener)
        self._view = View()
        self._frozen: tuple[Board, float] | None = None
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Until cancelled."""
        while True:
            some = await self._listener.wait(DRAW_S)
            now = time.time()
            self.board.connection(self._listener.connected, now)
            for event in some:
                self.board.take(event, now)
            self.board.tick(now)

    async def watch(self, console: Console) -> None:
        """Until `q` or a signal; the terminal is then as it was before."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._quit)
        tending = [asyncio.create_task(work) for work in self._works()]
        try:
            with _quiet(), Live(console=console, screen=True, auto_refresh=False) as live, self._keyboard(loop):
                while not self._view.over:
                    live.update(self._drawing(console), refresh=True)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), DRAW_S)
                    self._changed.clear()
                    for task in tending:
                        if task.done():
                            task.result()
        finally:
            for task in tending:
                task.cancel()

    def _works(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self.listen()
        yield self._count()

    async def _count(self) -> None:
        while True:
            with contextlib.suppress(LeveretError):  # the connection is lost, and the screen says so
                await self.counts.look(self.board, list(self.board.queues), time.time())
            await asyncio.sleep(COUNT_S)

    def _drawing(self, console: Console) -> Any:
        now = time.time()
        if not self._view.paused:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = copy.deepcopy(self.board), now
        board, at = self._frozen or (self.board, now)
        return screen(board, self._view, at, self.broker, console.width, console.height)

    @contextlib.contextmanager
    def _keyboard(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Nobody presses keys where standard input is no terminal: then only a signal ends it."""
        number = keys.terminal()
        if number is None:
            yield
            return
        with keys.one_by_one(number):
            loop.add_reader(number, self._press, loop, number)
            try:
                yield
            finally:
                loop.remove_reader(number)

    def _press(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        pressed = keys.read(number)
        if pressed is None:
            loop.remove_reader(number)
            self._quit()
        for key in pressed or ():
            self._view.press(key)
        self._changed.set()

    def _quit(self) -> None:
        self._view.over = True
        self._changed.set()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No line of log comes between; what matters of it is on the screen."""
    log, nowhere = logging.getLogger("leveret"), logging.NullHandler()
    log.addHandler(nowhere)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(nowhere)


def _broker(listener: Listener) -> str:
    about = listener.connection.server_properties
    names = [str(about.get(name, "")) for name in ("product", "version")]
    return f"{listener.connection.target}  {' '.join(filter(None, names))}"
