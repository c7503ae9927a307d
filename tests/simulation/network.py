"""Connections in memory: what is written arrives late, in pieces of any size, and in order; links are cut or fall silent.

Connections are independent: what one brings may arrive before what another brought earlier. An `End` is asyncio's
transport for one side; what a killed process had written still arrives, or is dropped, as the seed says.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from random import Random
from typing import Any

from simulation.loop import OWNER, VirtualLoop

SOCKET_BYTES = 65_536
"""The system takes so much of what is written; the rest waits with who wrote it."""
PIECE_BYTES = 262_144
LINGER_S = 0.5


class Link:
    """A connection to a broker in its `life`. `over` once the serving side knows that it has ended: what was delivered on it is back in its queue."""

    def __init__(self, number: int, life: int) -> None:
        self.number = number
        self.life = life
        self.silent = False
        self.over = False
        self.ends: tuple[End, End]

    @property
    def open(self) -> bool:
        return not any(end.gone for end in self.ends)

    def __repr__(self) -> str:
        return f"link {self.number}"


class End(asyncio.Transport):
    def __init__(self, network: Network, link: Link, protocol: asyncio.Protocol, names: tuple[Any, Any]) -> None:
        super().__init__({"sockname": names[0], "peername": names[1]})
        self.link = link
        self.protocol = protocol
        self.context = contextvars.copy_context()
        self.peer: End
        self.gone = False
        self._network = network
        self._outgoing = bytearray()
        self._pumping = False
        self._reading = True
        self._closing = False
        self._finished = False
        self._high, self._low = 65_536, 16_384
        self._full = False

    @property
    def owner(self) -> object:
        return self.context.get(OWNER)

    # ---- asyncio's transport

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65_536 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return max(0, len(self._outgoing) - SOCKET_BYTES)

    def write(self, data: Any) -> None:
        if self.gone or self._closing:
            return
        self._outgoing += data
        if self.get_write_buffer_size() > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()
        self.pump()

    def is_closing(self) -> bool:
        return self._closing or self.gone

    def close(self) -> None:
        if not self.is_closing():
            self._closing = True
            self._written()
            self.pump()

    def abort(self) -> None:
        self.lose(None)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.peer.pump()

    # ---- the way to the other end

    def pump(self) -> None:
        """Something may be on its way."""
        if not self._pumping and (self._outgoing or self._closing) and self.peer.listens and not self._finished:
            self._pumping = True
            self._network.soon(self.peer, self._arrive)

    @property
    def listens(self) -> bool:
        return self._reading and not self.gone and not self._closing and not self.link.silent

    def _arrive(self) -> None:
        self._pumping = False
        if not self.peer.listens:
            return
        if self._outgoing:
            count = self._network.piece(min(len(self._outgoing), PIECE_BYTES))
            piece = bytes(self._outgoing[:count])
            del self._outgoing[:count]
            self._network.hand_over(self.peer, piece)
            self._written()
            self.pump()
        elif self._closing:
            self._finished = True
            self.peer.protocol.eof_received()
            self.peer.close()

    def _written(self) -> None:
        """The system has taken something."""
        waiting = self.get_write_buffer_size()
        if self._closing and not waiting:
            self._end(None)
        elif self._full and waiting <= self._low and not self.gone:
            self._full = False
            self._network.at_once(self, self.protocol.resume_writing)

    # ---- ends

    def lose(self, error: Exception | None) -> None:
        """This end is no more; the other learns of it, unless the link is silent."""
        if self.gone:
            return
        self._outgoing.clear()
        self._closing = self._finished = True
        self._end(error)
        if not self.link.silent:
            self._network.soon(self.peer, self.peer.lose, ConnectionResetError("reset by the other side"))

    def _end(self, error: Exception | None) -> None:
        if not self.gone:
            self.gone = True
            self._network.at_once(self, self._network.lost, self, error)

    def killed(self, orderly: bool) -> None:
        """With its process, which hears nothing of it. `orderly`: what it had written is still sent."""
        was_gone, self.gone = self.gone, True
        if self is self.link.ends[1]:
            self._network.over(self.link)
        del self._outgoing[SOCKET_BYTES:]
        if was_gone or self.link.silent:
            return
        if orderly:
            self._closing = True
            self.pump()
        else:
            self._finished = True
            self._network.soon(self.peer, self.peer.lose, ConnectionResetError("reset by the other side"))


class Listener:
    """What asyncio calls a server, as far as the broker uses it."""

    def __init__(self, network: Network, port: int, factory: Callable[[], asyncio.Protocol]) -> None:
        self._network = network
        self.port = port
        self.factory = factory
        self.context = contextvars.copy_context()
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def close(self) -> None:
        self._network.listeners.pop(self.port, None)


class Network:
    """`arriving` is the link whose bytes are being taken just now; `on_over` is told when the serving side knows of an end."""

    def __init__(self, loop: VirtualLoop, random: Random) -> None:
        self._loop = loop
        self._random = random
        self.listeners: dict[int, Listener] = {}
        self.links: list[Link] = []
        self.arriving: Link | None = None
        self.on_over: Callable[[Link], object] = lambda link: None
        self.life = 0
        self._numbers = 0
        loop.create_server = self._listen  # type: ignore[method-assign,assignment]
        loop.create_connection = self._connect  # type: ignore[method-assign,assignment]

    # ---- what asyncio is asked for

    async def _listen(self, factory: Callable[[], asyncio.Protocol], host: str, port: int, **_: Any) -> Listener:
        if port in self.listeners:
            raise OSError(f"port {port} is in use")
        listener = self.listeners[port] = Listener(self, port, factory)
        return listener

    async def _connect(self, factory: Callable[[], asyncio.Protocol], host: str, port: int, **_: Any) -> Any:
        await asyncio.sleep(self.delay_s())
        listener = self.listeners.get(port)
        if listener is None:
            raise ConnectionRefusedError("nobody listens")
        self._numbers += 1
        link = Link(self._numbers, self.life)
        names = ("127.0.0.1", 10_000 + self._numbers), ("127.0.0.1", port)
        mine = End(self, link, factory(), names)
        accepted: asyncio.Future[None] = self._loop.create_future()

        def accept() -> None:
            theirs = End(self, link, listener.factory(), names[::-1])
            link.ends = mine, theirs
            mine.peer, theirs.peer = theirs, mine
            self.links.append(link)
            theirs.protocol.connection_made(theirs)
            accepted.set_result(None)

        self._loop.call_soon(accept, context=listener.context)
        await asyncio.wait_for(accepted, 1.0)
        if not mine.gone:
            mine.protocol.connection_made(mine)
        return mine, mine.protocol

    # ---- for ends

    def delay_s(self) -> float:
        """Mostly next to nothing; now and then long."""
        kind = self._random.random()
        if kind < 0.9:
            return self._random.uniform(0, 0.001)
        return self._random.uniform(0, 0.05 if kind < 0.99 else 1.0)

    def piece(self, available: int) -> int:
        """How much of it arrives together."""
        return available if self._random.random() < 0.7 else self._random.randint(1, available)

    def soon(self, end: End, call: Callable[..., object], *args: Any) -> None:
        """After a delay, in the process of `end`."""
        self._loop.call_later(self.delay_s(), call, *args, context=end.context)

    def at_once(self, end: End, call: Callable[..., object], *args: Any) -> None:
        self._loop.call_soon(call, *args, context=end.context)

    def hand_over(self, end: End, piece: bytes) -> None:
        self.arriving = end.link
        try:
            end.protocol.data_received(piece)
        finally:
            self.arriving = None

    def over(self, link: Link) -> None:
        if not link.over:
            link.over = True
            self.on_over(link)

    def lost(self, end: End, error: Exception | None) -> None:
        end.protocol.connection_lost(error)
        if end is end.link.ends[1]:
            self.over(end.link)
        if all(one.gone for one in end.link.ends):
            self.links = [link for link in self.links if link is not end.link]

    # ---- misfortunes

    def cut(self, link: Link) -> None:
        """Both ends learn of it, each in its own time; what was under way is gone."""
        for end in link.ends:
            self.soon(end, end.lose, ConnectionResetError("the link was cut"))

    def silence(self, link: Link) -> None:
        """Nothing arrives any more, and nobody is told."""
        link.silent = True

    def kill(self, owner: object) -> None:
        """A process is gone, and its connections with it."""
        for listener in list(self.listeners.values()):
            if listener.context.get(OWNER) is owner:
                listener.close()
        for link in list(self.links):
            for end in link.ends:
                if end.owner is owner:
                    end.killed(orderly=self._random.random() < 0.5)
            if all(end.gone for end in link.ends):
                self.links.remove(link)
