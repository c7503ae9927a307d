"""Programs on the real client that can be killed, and the publishers among them. They tell the model all that they see."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from leveret.client import Backoff, BasicProperties, Channel, Connection, connect
from leveret.errors import ChannelError, ConnectionError, ConnectionLost, LeveretError
from simulation.loop import OWNER
from simulation.model import Violation

if TYPE_CHECKING:
    from simulation.world import World

PORT = 5672
URL = f"amqp://guest:guest@127.0.0.1:{PORT}/?heartbeat=10"
FORCED = 320


class Process:
    """A program that can be killed. What it raises is the world's to see."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)
        self.spawn(self.live())

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.world.loop.create_task(coroutine, context=self.context)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.world.broken(task.exception())

    async def live(self) -> None:
        raise NotImplementedError

    def backoff(self) -> Backoff:
        return Backoff(0.05, 2.0, fraction=self.world.random.random)

    async def connection(self) -> Connection:
        backoff = self.backoff()
        attempt = 0
        while True:
            try:
                connection = await connect(URL, name=self.name, timeout_s=5.0, backoff=backoff)
                connection.on_lost = self.lost
                return connection
            except LeveretError:
                await backoff.wait(attempt)
                attempt += 1

    async def channel(self, connection: Connection, prefetch: int | None = None) -> Channel:
        """In confirm mode."""
        while True:
            try:
                channel = await connection.channel(prefetch=prefetch, confirms=True)
                channel.on_close = self._channel_closed
                return channel
            except LeveretError:
                await asyncio.sleep(0.5)

    def _channel_closed(self, error: Exception) -> None:
        """Not by us: nothing here gives the broker a reason to."""
        if isinstance(error, ChannelError):
            self.world.broken(error)

    def lost(self, error: Exception) -> None:
        """The connection, for whatever reason: the broker itself ends one only when it stops."""
        self.world.say(f"{self.name} lost its connection: {error}")
        if isinstance(error, ConnectionError) and error.code != FORCED:
            self.world.broken(error)

    def __repr__(self) -> str:
        return self.name


class Publisher(Process):
    """Sends each message once; one whose confirm does not come may or may not have arrived."""

    def __init__(self, world: World, name: str) -> None:
        self._number = 0
        self._orders: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue()
        self._owed = 0
        super().__init__(world, name)

    async def live(self) -> None:
        connection = await self.connection()
        channel = await self.channel(connection)
        while True:
            queue, count, size = await self._orders.get()
            for _ in range(count):
                await self._publish(channel, queue, size)
            self._owed -= count

    def send(self, queue: str, count: int, size: int) -> None:
        """So many messages of so many octets."""
        self._owed += count
        self._orders.put_nowait((queue, count, size))

    @property
    def idle(self) -> bool:
        """Nothing more is to be sent."""
        return not self._owed

    async def _publish(self, channel: Channel, queue: str, size: int) -> None:
        model = self.world.model
        try:
            await channel.drain(600)
            session = channel._session
            if session is None or session.error is not None:
                return
            self._number += 1
            message = f"{self.name}-{self._number}"
            model.sent(message, queue, self.name, session.link._transport.link)  # type: ignore[union-attr]
            body = f"{message} ".encode().ljust(size, b".")
            properties = BasicProperties(delivery_mode=2, priority=self._number % 4)
            confirm = channel.publish_nowait(body, routing_key=queue, properties=properties, mandatory=True)
        except LeveretError:
            return
        assert confirm is not None
        confirm.add_done_callback(lambda future: self._confirmed(message, future))

    def _confirmed(self, message: str, confirm: asyncio.Future[None]) -> None:
        if confirm.cancelled():
            return
        error = confirm.exception()
        if error is None:
            self.world.say(f"{message} confirmed")
            self.world.model.confirmed(message)
        elif not isinstance(error, ConnectionLost):
            self.world.broken(Violation(f"{message} was refused: {error!r}"))
