"""A channel as the program sees it: AMQP's verbs, each awaiting its reply.

It outlives connections: when the connection is replaced it goes on, in the same mode and with the same consumers, on a
session of its own (client/session). While there is no connection, verbs wait for it, bounded by their timeout. A
channel that the broker closed (ChannelError) stays closed. Made by Connection.channel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from leveret.client.consumer import Callback, Consumer
from leveret.client.delivery import Delivery, Returned
from leveret.client.publishing import Encoder
from leveret.client.session import Session, fetched
from leveret.client.waiting import Reply, bounded
from leveret.errors import ChannelError, ConnectionLost, ProtocolMisuse
from leveret.wire.events import Content
from leveret.wire.methods import (
    BasicCancel,
    BasicGet,
    BasicQos,
    BasicRecover,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
)
from leveret.wire.properties import BasicProperties

if TYPE_CHECKING:
    from leveret.client.connection import Connection

log = logging.getLogger(__name__)

Arguments = Mapping[str, Any] | None


class QueueDeclared(NamedTuple):
    """`messages` are the ready ones."""

    queue: str
    messages: int
    consumers: int


class Channel:
    """`on_return` takes every returned message, `on_close` the error when the broker closes the channel.

    Not closed by the end of its connection if that is replaced. Deliveries of the lost one cannot be settled any more:
    the broker delivers them again. Publishes without a confirm at that moment end in ConnectionLost: they may or may
    not have arrived, and whether to send them again is the caller's choice.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        self.number = number
        self.on_return: Callable[[Returned], None] | None = None
        self.on_close: Callable[[Exception], None] | None = None
        self.consumers: dict[str, Consumer] = {}
        self.prefetch: int | None = None  # per consumer, for those started next
        self.prefetch_shared: int | None = None  # of the whole channel (global)
        self.confirming = False
        self._connection = connection
        self._session: Session | None = None
        self._closed: Exception | None = None
        self._last_queue = ""
        self._tags = count(1)
        self._encoder = Encoder()

    @property
    def closed(self) -> bool:
        """For good: by this program, by the broker, or because the connection will not come back."""
        return self._closed is not None

    # ---- queues

    async def queue_declare(
        self,
        queue: str = "",
        *,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Arguments = None,
    ) -> QueueDeclared:
        """Without a name the broker chooses one. Declared again after a reconnect, unless `passive`."""
        method = QueueDeclare(
            queue=self._topology.current(queue),
            passive=passive,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=dict(arguments or {}),
        )
        reply = (await self.call(method, "queue.declare-ok")).method
        assert isinstance(reply, QueueDeclareOk)
        self._last_queue = reply.queue
        if not passive and reply.queue not in self._topology.queues:
            self._topology.add_queue(method, reply.queue)
        return QueueDeclared(reply.queue, reply.message_count, reply.consumer_count)

    async def queue_bind(self, queue: str, exchange: str, routing_key: str = "", arguments: Arguments = None) -> None:
        method = QueueBind(
            queue=self._queue(queue),
            exchange=exchange,
            routing_key=routing_key,
            arguments=dict(arguments or {}),
        )
        await self.call(method, "queue.bind-ok")
        self._topology.add_binding(method)

    async def queue_unbind(self, queue: str, exchange: str, routing_key: str = "", arguments: Arguments = None) -> None:
        name, table = self._queue(queue), dict(arguments or {})
        method = QueueUnbind(queue=name, exchange=exchange, routing_key=routing_key, arguments=table)
        await self.call(method, "queue.unbind-ok")
        self._topology.remove_binding(
            QueueBind(queue=name, exchange=exchange, routing_key=routing_key, arguments=table)
        )

    async def queue_delete(self, queue: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """The number of messages that went with it."""
        method = QueueDelete(queue=self._queue(queue), if_unused=if_unused, if_empty=if_empty)
        reply = (await self.call(method, "queue.delete-ok")).method
        assert isinstance(reply, QueueDeleteOk)
        self._topology.remove_queue(method.queue)
        return reply.message_count

    async def queue_purge(self, queue: str) -> int:
        """The number of ready messages that were removed."""
        reply = (await self.call(QueuePurge(queue=self._queue(queue)), "queue.purge-ok")).method
        assert isinstance(reply, QueuePurgeOk)
        return reply.message_count

    # ---- exchanges

    async def exchange_declare(
        self,
        exchange: str,
        type: str = "direct",
        *,
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Arguments = None,
    ) -> None:
        method = ExchangeDeclare(
            exchange=exchange,
            type=type,
            passive=passive,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=dict(arguments or {}),
        )
        await self.call(method, "exchange.declare-ok")
        if not passive:
            self._topology.add_exchange(method)

    async def exchange_delete(self, exchange: str, *, if_unused: bool = False) -> None:
        await self.call(ExchangeDelete(exchange=exchange, if_unused=if_unused), "exchange.delete-ok")
        self._topology.remove_exchange(exchange)

    async def exchange_bind(
        self, destination: str, source: str, routing_key: str = "", arguments: Arguments = None
    ) -> None:
        method = ExchangeBind(
            destination=destination, source=source, routing_key=routing_key, arguments=dict(arguments or {})
        )
        await self.call(method, "exchange.bind-ok")
        self._topology.add_binding(method)

    async def exchange_unbind(
        self, destination: str, source: str, routing_key: str = "", arguments: Arguments = None
    ) -> None:
        table = dict(arguments or {})
        method = ExchangeUnbind(destination=destination, source=source, routing_key=routing_key, arguments=table)
        await self.call(method, "exchange.unbind-ok")
        self._topology.remove_binding(
            ExchangeBind(destination=destination, source=source, routing_key=routing_key, arguments=table)
        )

    # ---- publishing

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str = "",
        properties: BasicProperties | None = None,
        mandatory: bool = False,
        timeout_s: float = 30.0,
    ) -> None:
        """Send a message; with confirms, return once the broker has taken it over.

        Waits, all in all for `timeout_s`: for a connection, while the broker blocks publishers or the socket is full,
        and for the confirm. Raises Unroutable (`mandatory`, with confirms: no queue is bound), Nacked (refused),
        ConnectionLost (it may or may not have arrived), ChannelError, WaitTimeout.
        """
        what = "the broker's confirm" if self.confirming else "a connection that takes messages"
        await bounded(
            self._publish(body, exchange, routing_key, properties, mandatory),
            timeout_s,
            f"{what} for a message to exchange {exchange!r}, routing key {routing_key!r},",
        )

    async def _publish(
        self, body: bytes, exchange: str, routing_key: str, properties: BasicProperties | None, mandatory: bool
    ) -> None:
        link = (await self._open_session()).link
        if link.blocked or not link.may_write.is_set():
            await link.may_publish.wait()
            await link.may_write.wait()
        confirm = self.publish_nowait(
            body, exchange=exchange, routing_key=routing_key, properties=properties, mandatory=mandatory
        )
        if confirm is not None:
            await confirm

    def publish_nowait(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str = "",
        properties: BasicProperties | None = None,
        mandatory: bool = False,
    ) -> asyncio.Future[None] | None:
        """Send without waiting: the confirm's future (ends as `publish` does), or None without confirms.

        Many at once need a pause now and then: `await drain()`, or wait for the futures. Raises ConnectionLost when
        there is no connection just now.
        """
        session = self._session
        if session is None or session.error is not None:
            self._refuse(session)
        payload, header = self._encoder.encode(exchange, routing_key, mandatory, properties)
        return session.publish(payload, header, body, (exchange, routing_key) if mandatory else None)

    async def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until the socket takes more and the broker does not block publishers."""
        await bounded(self._drain(), timeout_s, "room for more messages")

    async def _drain(self) -> None:
        link = (await self._open_session()).link
        link.flush()
        await link.may_publish.wait()
        await link.may_write.wait()

    async def confirm_select(self) -> None:
        """From now on each publish is confirmed. Safe to call twice."""
        await self._bounded(self._confirm_select(), "confirm.select")

    async def _confirm_select(self) -> None:
        await (await self._open_session()).confirm_select()
        self.confirming = True

    # ---- consuming

    async def qos(self, prefetch_count: int, global_: bool = False) -> None:
        """How many unacknowledged deliveries each consumer started next may have (`global_`: the whole channel)."""
        await self.call(BasicQos(0, prefetch_count, global_), "basic.qos-ok")
        if global_:
            self.prefetch_shared = prefetch_count
        else:
            self.prefetch = prefetch_count

    async def get(self, queue: str, no_ack: bool = False) -> Delivery | None:
        """One message, or None if none is ready."""
        method = BasicGet(queue=self._queue(queue), no_ack=no_ack)
        return await self._bounded(self._get(method), f"the reply to basic.get of queue {queue!r}")

    async def _get(self, method: BasicGet) -> Delivery | None:
        session = await self._open_session()
        reply = await session.call(method, "basic.get-ok", "basic.get-empty")
        return fetched(session, reply, method.no_ack) if isinstance(reply, Content) else None

    async def consume(
        self,
        queue: str,
        callback: Callback,
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        consumer_tag: str = "",
        arguments: Arguments = None,
    ) -> Consumer:
        """Have `callback` called with each delivery, on the event loop; it may be a coroutine function."""
        tag = consumer_tag or f"leveret-{self.number}.{next(self._tags)}"
        if tag in self.consumers:
            raise ProtocolMisuse(f"consumer tag {tag!r} is in use on channel {self.number}")
        consumer = Consumer(
            self,
            callback,
            self._queue(queue),
            tag,
            no_ack=no_ack,
            exclusive=exclusive,
            arguments=arguments,
            prefetch=self.prefetch,
        )
        # Known before the reply: deliveries follow it at once. A reconnect meanwhile must not start it twice.
        try:
            await self._bounded(self._start(consumer), f"the reply to basic.consume of queue {queue!r}")
        except BaseException:
            self._give_up(consumer)
            raise
        return consumer

    async def _start(self, consumer: Consumer) -> None:
        session = await self._open_session()
        self.consumers[consumer.tag] = consumer
        await session.call(consumer.method(consumer.queue), "basic.consume-ok")

    def _give_up(self, consumer: Consumer) -> None:
        """It did not start, as far as we know; should the broker start it all the same, it is to stop."""
        if self.consumers.pop(consumer.tag, None) is not None and self._session is not None:
            session = self._session
            if session.error is None:
                session.link.send(session.number, BasicCancel(consumer.tag, no_wait=True))

    async def cancel(self, consumer: Consumer) -> None:
        """See Consumer.cancel."""
        if consumer.cancelled:
            return
        consumer.cancelled = True
        session = self._session
        if session is not None and session.error is None:
            try:
                call = session.call(BasicCancel(consumer.tag), "basic.cancel-ok")
                await self._bounded(call, "the reply to basic.cancel")
            except (ConnectionLost, ChannelError):
                log.debug("consumer %s went with its channel", consumer.tag)
        self.consumers.pop(consumer.tag, None)
        self._forget_auto_deleted(consumer.queue)

    def _forget_auto_deleted(self, queue: str) -> None:
        """A queue that went with its last consumer is not to come back after a reconnect."""
        name = self._topology.current(queue)
        declared = self._topology.queues.get(name)
        if declared and declared.method.auto_delete and not self._connection.consumes(name):
            self._topology.remove_queue(name)

    async def recover(self) -> None:
        """Have all unacknowledged deliveries of this channel put back into their queues."""
        await self.call(BasicRecover(True), "basic.recover-ok")

    async def close(self) -> None:
        """Close it; unacknowledged deliveries go back to their queues. Safe to call twice."""
        if self._closed is not None:
            return
        self._closed = ConnectionLost("the channel was closed by this program")
        self._connection.forget(self)
        session = self._session
        if session is None or session.error is not None:
            return
        try:
            await self._bounded(session.close(), "the reply to channel.close")
        except (ConnectionLost, ChannelError):
            log.debug("channel %d was gone before it was closed", self.number)
        finally:
            session.end(self._closed)

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- sessions

    async def call(self, method: Method, reply: str) -> Reply:
        """Send `method`, wait for its reply; see Connection.timeout_s."""
        return await self._bounded(self._call(method, reply), f"the reply to {method.name}")

    async def _call(self, method: Method, reply: str) -> Reply:
        return await (await self._open_session()).call(method, reply)
