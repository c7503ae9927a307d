"""How a channel outlives connections: it holds the session of the present one, and waits for the next.

The base of client/channel, without its verbs. Connections call `reopen`, `restore_consumers` and `lose`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Container
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from leveret.client.callbacks import notify
from leveret.client.consumer import Consumer
from leveret.client.delivery import Returned
from leveret.client.session import Session
from leveret.client.topology import Topology
from leveret.client.waiting import again, bounded
from leveret.errors import ChannelError, ConnectionLost
from leveret.wire.methods import BasicQos, Method

if TYPE_CHECKING:
    from leveret.client.connection import Connection
    from leveret.client.transport import Link

log = logging.getLogger(__name__)
T = TypeVar("T")
M = TypeVar("M", bound=Method)


class Lifetime:
    def __init__(self, connection: Connection, number: int) -> None:
        self.number = number
        self.on_return: Callable[[Returned], None] | None = None
        self.on_close: Callable[[Exception], None] | None = None
        self.consumers: dict[str, Consumer] = {}
        self.prefetch: int | None = None  # of each consumer that is started next
        self.prefetch_shared: int | None = None  # of the whole channel (global)
        self.confirming = False
        self._connection = connection
        self._session: Session | None = None  # open for calls: all is restored on it
        self._next: Session | None = None  # of a connection that is being restored
        self._closed: Exception | None = None
        self._last_queue = ""

    @property
    def closed(self) -> bool:
        """For good: by this program, by the broker, or because the connection will not come back."""
        return self._closed is not None

    @property
    def timeout_s(self) -> float:
        """The bound of every wait for a reply."""
        return self._connection.timeout_s

    async def close(self) -> None:
        """Close it; unacknowledged deliveries go back to their queues. Safe to call twice.

        Publishes whose confirm has not come yet end in ConnectionLost: wait for them before, if they matter.
        """
        if self._closed is not None:
            return
        self._closed = ConnectionLost("the channel was closed by this program")
        session = self._session
        try:
            if session is not None and session.error is None:
                await self._bounded(session.close(), "the reply to channel.close")
        except (ConnectionLost, ChannelError):
            log.debug("channel %d was gone before it was closed", self.number)
        finally:
            if session is not None:
                session.end(self._closed)
            self._connection.forget(self.number)
            self._end_consumers(self._closed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- calls

    async def call(self, ask: Callable[[], M], reply: str) -> tuple[M, Method]:
        """Send what `ask` makes and wait for its reply, for the connection's `timeout_s` at most. Both are returned.

        `ask` is called when there is a connection to send on: only then is it certain what a queue that the broker
        named is called.
        """
        return await self._bounded(self._call(ask, reply), f"the broker's {reply}")

    async def _call(self, ask: Callable[[], M], reply: str) -> tuple[M, Method]:
        session = await self._open_session()
        method = ask()
        return method, (await session.call(method, reply)).method

    async def _bounded(self, waiting: Awaitable[T], what: str) -> T:
        return await bounded(waiting, self.timeout_s, f"{what} (channel {self.number})")

    async def _open_session(self) -> Session:
        """The present session; without one, that of the next connection."""
        while True:
            if self._closed is not None:
                raise again(self._closed)
            session = self._session
            if session is not None and session.error is None:
                return session
            await self._connection.established()

    def _refuse(self) -> NoReturn:
        """There is no session just now, and the caller does not wait."""
        if self._closed is not None:
            raise again(self._closed)
        raise ConnectionLost("there is no connection to the broker just now; it is being replaced")

    @property
    def _topology(self) -> Topology:
        return self._connection.topology

    def _queue(self, name: str) -> str:
        """A queue's present name; empty is the queue this channel declared last, as in AMQP."""
        return self._topology.current(name or self._last_queue)

    # ---- from one connection to the next

    async def reopen(self, link: Link) -> None:
        """Open a session on `link`, in the same mode. The program uses it from `resume` on."""
        session = self._next = Session(link, self.number, self.consumers)
        await self._bounded(session.open(), "the reply to channel.open")
        replies = []
        if self.prefetch_shared is not None:
            replies.append(session.ask(BasicQos(0, self.prefetch_shared, True), "basic.qos-ok"))
        if self.prefetch is not None:
            replies.append(session.ask(BasicQos(0, self.prefetch, False), "basic.qos-ok"))
        for reply in replies:
            await self._bounded(reply, "the reply to basic.qos")
        if self.confirming:
            await self._bounded(session.confirm_select(), "the reply to confirm.select")

    async def restore_consumers(self, locked: Container[str]) -> None:
        """Start them as they were, each with the prefetch it was started with; those of `locked` queues end."""
        session = self._next
        if session is None or session.error is not None:
            return
        prefetch = self.prefetch
        replies = []
        for consumer in list(self.consumers.values()):
            consumer.queue = self._topology.current(consumer.queue)
            if consumer.queue in locked:
                self._end_locked(consumer)
            elif not consumer.cancelled:
                if consumer.prefetch != prefetch:
                    prefetch = consumer.prefetch
                    replies.append(session.ask(BasicQos(0, prefetch or 0, False), "basic.qos-ok"))
                replies.append(session.start(consumer))
        if prefetch != self.prefetch:
            replies.append(session.ask(BasicQos(0, self.prefetch or 0, False), "basic.qos-ok"))
        for reply in replies:
            await self._bounded(reply, "the start of a consumer")

    def _end_locked(self, consumer: Consumer) -> None:
        """Its queue is another connection's: to start it would close the channel, with all other consumers."""
        del self.consumers[consumer.tag]
        text = f"RESOURCE_LOCKED - queue {consumer.queue!r} could not be restored: another connection holds it"
        consumer.ended(ChannelError(405, text))

    def resume(self) -> None:
        """All is restored: calls go to the new session, and its end is the channel's."""
        session, self._next = self._next, None
        if session is None:
            return
        if self._closed is not None:  # meanwhile, by the program
            session.discard(self._closed)
            return
        self._session = session
        session.on_end = self._session_ended
        session.on_return = self._returned
        if session.error is not None:
            self._session_ended(session.error)

    def discard(self, reason: BaseException) -> None:
        """It was not opened in time; its number is free again once the broker has closed it."""
        if self._next is not None:
            self._next.discard(ConnectionLost(f"channel {self.number} was given up while it was opened: {reason}"))

    def lose(self, error: Exception) -> None:
        """The connection will not come back."""
        if self._closed is None:
            self._end(error)

    def _session_ended(self, error: Exception) -> None:
        if isinstance(error, ChannelError) and self._closed is None:
            self._connection.forget(self.number)
            self._end(error)

    def _end_consumers(self, error: Exception) -> None:
        consumers = list(self.consumers.values())
        self.consumers.clear()
        for consumer in consumers:
            self.forget_auto_deleted(consumer.queue)
            consumer.ended(error)

    def forget_auto_deleted(self, queue: str) -> None:
        """A queue that went with its last consumer is not to come back after a reconnect."""
        name = self._topology.current(queue)
        declared = self._topology.queues.get(name)
        if declared and declared.method.auto_delete and not self._connection.consumes(name):
            self._topology.remove_queue(name)

    def _end(self, error: Exception) -> None:
        self._closed = error
        self._end_consumers(error)
        notify(self.on_close, f"channel {self.number}", error)

    def _returned(self, message: Returned) -> None:
        notify(self.on_return, f"channel {self.number}", message)
