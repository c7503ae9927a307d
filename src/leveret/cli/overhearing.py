"""Hears in the broker's own process what workers say, and tells it on: to a history (cli/remembering), and to the dashboard.

On the broker's loop, a little at a time: what it costs there is bounded, and nothing of it is on a message's way. Made by
cli/company; server/run keeps it at work.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

import msgspec

from leveret.server.server import Server
from leveret.tasks.events import EXCHANGE, AnyEvent, read

HEAR_S: Final = 0.2
SLICE_BYTES: Final = 64 * 1024
"""So much is read before others have their turn: about a millisecond's work."""

HEARD_BYTES_MAX: Final = 512 * 1024
"""Of what is said in HEAR_S; the rest is left out, but for beats, which sum up the others."""

BEAT: Final = b'[{"event":"worker"'

Hearer = Callable[[str, Sequence[AnyEvent], float], None]
"""Told the virtual host, what was said there, and when it was heard."""


class Overhearing:
    """`async with` it while the server runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.hearers: list[Hearer] = []
        self._bodies: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        server.broker.listen(EXCHANGE, self._hear)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._bodies:
            self._read()

    def _hear(self, vhost: str, body: bytes) -> None:
        if not self._bodies:
            self._bytes = 0
            self._server.loop.call_later(HEAR_S, self._read)
        self._bytes += len(body)
        if self._bytes <= HEARD_BYTES_MAX or body.startswith(BEAT):
            self._bodies.append((vhost, body))

    def _read(self) -> None:
        now = time.time()
        left = SLICE_BYTES
        while self._bodies and left > 0:
            vhost, body = self._bodies.popleft()
            left -= len(body)
            with suppress(msgspec.DecodeError):  # of a later version, or of somebody else
                events = read(body)
                for hearer in self.hearers:
                    hearer(vhost, events, now)
        if self._bodies:
            self._server.loop.call_soon(self._read)
