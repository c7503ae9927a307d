"""A connection as the program sees it: channels on a link, and a new link when one is lost.

`connect` opens it. When the link ends, everybody who waits on it is told (ConnectionLost); then, with growing pauses,
a new one is opened and channels, topology and consumers are restored on it. Driven by one asyncio loop; for threads
and plain functions see client/blocking.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from leveret.client.backoff import Backoff
from leveret.client.callbacks import notify
from leveret.client.channel import Channel
from leveret.client.handshake import open_link
from leveret.client.restore import Restorer, held_elsewhere
from leveret.client.topology import Topology
from leveret.client.transport import Link
from leveret.client.url import Target, parse_url
from leveret.client.waiting import again, bounded, together
from leveret.errors import ChannelError, ClientError, ConnectionLost, LeveretError, WaitTimeout
from leveret.wire.methods import ConnectionClose

log = logging.getLogger(__name__)

PATIENCE_INTERVALS: Final = 3
"""Heartbeat intervals after which the broker has noticed the end of a lost connection: what is locked then stays so."""

PATIENCE_INTERVAL_S: Final = 60
"""Without heartbeats."""

DEFAULT_URL: Final = "amqp://guest:guest@localhost:5672/%2F"


async def connect(
    url: str = DEFAULT_URL,
    *,
    name: str | None = None,
    heartbeat_s: int = 60,
    timeout_s: float = 10.0,
    reconnect: bool = True,
    backoff: Backoff | None = None,
) -> Connection:
    """Connect to the broker at `url` (client/url tells what may stand in it; what it says goes before the arguments).

    `timeout_s` bounds this, for each host, and every wait for a reply. Raises ConnectionLost (nobody answers),
    ConnectionError (the broker refuses: 403 wrong password, 530 unknown vhost), WaitTimeout, or ClientError (bad URL).
    A first connection that fails is not tried again; one that is lost later is, unless `reconnect` is off: for ever,
    also if the broker refuses it (a changed password may be changed back); each refusal is logged.
    """
    connection = Connection(
        parse_url(url),
        name=name,
        heartbeat_s=heartbeat_s,
        timeout_s=timeout_s,
        reconnect=reconnect,
        backoff=backoff or Backoff(),
    )
    await connection.open()
    return connection


class Connection:
    """Made by `connect`. The callbacks are called on the event loop and must not block:

    `on_lost(error)` when the link ends, `on_reconnect()` when all is restored, `on_blocked(blocked, reason)` when the
    broker blocks publishers, and when it does so no more (lets them go on, or the link ends).

    `before_attempt()` is awaited, however long it takes, before each attempt to connect again: time to start the broker, if that is
    the program's to do. A LeveretError of its own means that this attempt has failed.
    """

    def __init__(
        self,
        target: Target,
        *,
        name: str | None,
        heartbeat_s: int,
        timeout_s: float,
        reconnect: bool,
        backoff: Backoff,
    ) -> None:
        self.target: Final = target
        self.name = target.name or name
        self.heartbeat_s = heartbeat_s if target.heartbeat_s is None else target.heartbeat_s
        self.timeout_s = target.timeout_s or timeout_s
        self.on_lost: Callable[[Exception], object] | None = None
        self.on_reconnect: Callable[[], object] | None = None
        self.on_blocked: Callable[[bool, str], object] | None = None
        self.before_attempt: Callable[[], Awaitable[object]] | None = None
        self.topology: Final = Topology()
        self._reconnect = reconnect
        self._backoff = backoff
        self._channels: dict[int, Channel] = {}
        self._last_number = 0
        self._link: Link | None = None
        self._established = asyncio.Event()  # there is a link and all is restored on it, or there never will be
        self._closed: Exception | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._attempts = 0  # to connect again; counted on over links that did not live long
        self._established_at_s = 0.0
        self._patient_until_s = 0.0

    # ---- what it is

    @property
    def server_properties(self) -> dict[str, object]:
        return self._link.server_properties if self._link is not None else {}

    @property
    def blocked(self) -> bool:
        """The broker takes no publishes just now: it is short of memory or disk."""
        return self._link is not None and self._link.blocked

    @property
    def closed(self) -> bool:
        """For good."""
        return self._closed is not None

    @property
    def connected(self) -> bool:
        return self._established.is_set() and self._closed is None

    def fileno(self) -> int:
        """The socket's number, or -1 without one."""
        return self._link.fileno() if self._link is not None else -1

    def consumes(self, queue: str) -> bool:
        """Whether any of its channels has a consumer on `queue`."""
        return any(c.queue == queue for channel in self._channels.values() for c in channel.consumers.values())

    # ---- channels

    async def channel(self, prefetch: int | None = None, confirms: bool = False) -> Channel:
        """A new channel, with `prefetch` deliveries at most for each consumer, in confirm mode if asked for."""
        return await bounded(self._open_channel(prefetch, confirms), self.timeout_s, "a new channel")

    async def _open_channel(self, prefetch: int | None, confirms: bool) -> Channel:
        await self.established()
        link = self._link
        assert link is not None
        number = link.free_number(self._last_number)
        if not number:
            raise ClientError(f"all {link.channel_max} channels of this connection are in use: close some")
        self._last_number = number
        channel = Channel(self, number)
        channel.prefetch = prefetch
        channel.confirming = confirms
        try:
            await channel.reopen(link)
        except BaseException as error:
            channel.discard(error)
            raise
        self._channels[number] = channel
        channel.resume()
        return channel

    def forget(self, number: int) -> None:
        """A channel was closed."""
        self._channels.pop(number, None)

    # ---- opening and closing

    async def open(self) -> None:
        link = await self._new_link()
        self._take(link)
        self._establish()

    def _establish(self) -> None:
        self._established_at_s = asyncio.get_running_loop().time()
        self._established.set()

    async def established(self) -> None:
        """Wait until there is a connection. Raises if there will be none; bounded by the caller."""
        await self._established.wait()
        if self._closed is not None:
            raise again(self._closed)

    async def close(self, timeout_s: float = 10.0) -> None:
        """Close it with all its channels. What was published and acknowledged before is sent first.

        Publishes whose confirm has not come yet end in ConnectionLost: wait for them before, if they matter.
        Safe to call twice. A broker that does not answer within `timeout_s` is left alone.
        """
        if self._closed is not None:
            return
        self._finish(ConnectionLost("the connection was closed by this program"))
        if self._replacing is not None:
            self._replacing.cancel()
        link = self._link
        if link is None or link.error is not None:
            return
        try:
            reply = link.replies.expect("connection.close-ok")
            link.send(0, ConnectionClose(200, "Goodbye"))
            await bounded(reply, timeout_s, "the reply to connection.close")
        except (LeveretError, WaitTimeout) as error:
            log.debug("the connection was not closed in good order: %s", error)
        finally:
            link.end(ConnectionLost("the connection was closed by this program"))

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _finish(self, error: Exception) -> None:
        """There will be no other connection."""
        self._closed = error
        self._established.set()
        for channel in list(self._channels.values()):
            channel.lose(error)
        self._channels.clear()

    # ---- links

    async def _new_link(self) -> Link:
        return await open_link(self.target, self.name, self.heartbeat_s, self.timeout_s, Link)

    def _take(self, link: Link) -> None:
        self._link = link
        link.on_end = self._lost
        link.on_blocked = self._blocked
        if link.error is not None:
            raise again(link.error)

    def _blocked(self, blocked: bool, reason: str) -> None:
        log.warning("the broker %s", f"blocks publishers: {reason}" if blocked else "blocks publishers no more")
        notify(self.on_blocked, "the connection", blocked, reason)

    def _lost(self, error: Exception) -> None:
        """The link ended. While it was still being restored, that attempt has failed and knows it."""
        if self._closed is not None or not self._established.is_set():
            return
        if not self._reconnect:
            self._finish(error)
        else:
            log.warning("connection to %s lost: %s", self.target, error)
            self._established.clear()
            self._replacing = asyncio.get_running_loop().create_task(self._replace())
        notify(self.on_lost, "the connection", error)

    async def _replace(self) -> None:
        """Try until it works."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._established_at_s >= self._backoff.max_s:
            self._attempts = 0
        self._patient_until_s = now_s + PATIENCE_INTERVALS * (self.heartbeat_s or PATIENCE_INTERVAL_S)
        try:
            while not await self._attempt():
                pass
        except Exception as error:  # a failure of the client itself: another attempt would end alike
            log.exception("the connection to %s cannot be replaced", self.target)
            self._finish(ConnectionLost(f"the connection was lost and cannot be replaced: {error!r}"))
            notify(self.on_lost, "the connection", error)
            return
        log.info("connected again to %s", self.target)
        self._establish()
        notify(self.on_reconnect, "the connection")

    async def _attempt(self) -> bool:
        """A pause, a link, everything restored on it; False if the broker or the network was against it."""
        self._attempts += 1
        await self._backoff.wait(self._attempts - 1)
        try:
            if self.before_attempt is not None:
                await self.before_attempt()
            await self._restore_on(await self._new_link())
        except LeveretError as error:
            log.warning("attempt %d to reconnect to %s failed: %s", self._attempts, self.target, error)
            return False
        return True

    async def _restore_on(self, link: Link) -> None:
        """Everything, or the link is given up. Calls wait until all is there."""
        channels = list(self._channels.values())
        try:
            self._take(link)
            await self._restore(link, channels)
            if link.error is not None:
                raise again(link.error)
            for channel in channels:
                channel.resume()
        except BaseException as error:
            link.end(ConnectionLost(f"not everything could be restored: {error}"))
            raise

    async def _restore(self, link: Link, channels: list[Channel]) -> None:
        patient = asyncio.get_running_loop().time() < self._patient_until_s
        await together(channel.reopen(link) for channel in channels)
        restorer = Restorer(link, self.topology, self.timeout_s, patient)
        await restorer.restore()
        await together(self._restore_consumers(channel, restorer.locked, patient) for channel in channels)

    async def _restore_consumers(self, channel: Channel, locked: set[str], patient: bool) -> None:
        try:
            await channel.restore_consumers(locked)
        except ChannelError as error:
            if patient and held_elsewhere(error):
                raise
            # Its queue is gone, or held by somebody else: that channel's end, not everybody's.
            log.warning("channel %d was not restored: %s", channel.number, error)
