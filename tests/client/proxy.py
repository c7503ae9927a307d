"""A TCP proxy that breaks connections on demand: between the client under test and a real broker.

`cut` ends what goes through it now, `freeze` keeps it open but lets nothing pass, `inject` slips octets to the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from types import TracebackType


class Proxy:
    """With `tls` clients speak TLS to it, with `path` over a Unix socket; the broker behind it never sees that."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, path: str = "") -> None:
        self._port = port
        self._tls = tls
        self._path = path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_clients: set[asyncio.StreamWriter] = set()
        self._to_brokers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.accepted = 0
        self.open_to = True

    async def __aenter__(self) -> Proxy:
        if self._path:
            self._server = await asyncio.start_unix_server(self._accept, self._path)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"amqp://guest:guest@127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if not self.open_to:
            writer.transport.abort()
            return
        upstream, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._to_clients.add(writer)
        self._to_brokers.add(up_writer)
        for source, target in ((reader, up_writer), (upstream, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        target.close()

    def cut(self) -> None:
        for writer in (*self._to_clients, *self._to_brokers):
            writer.transport.abort()
        self._to_clients.clear()
        self._to_brokers.clear()

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def inject(self, data: bytes) -> None:
        for writer in self._to_clients:
            writer.write(data)
