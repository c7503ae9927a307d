"""A channel as the program sees it: AMQP's verbs, each awaiting its reply.

It outlives connections: when the connection is replaced it goes on, in the same mode and with the same consumers
(client/lifetime). While there is no connection, verbs wait for it, bounded by their timeout. A channel that the broker
closed (ChannelError) stays closed. Made by Connection.channel.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import TYPE_CHECKING

from leveret.client.consumer import Callback, Consumer, OnCancel, OnClose
from leveret.client.declaring import Arguments, Declaring
from leveret.client.delivery import Delivery
from leveret.client.publishing import Encoder
from leveret.client.session import fetched
from leveret.client.waiting import bounded
from leveret.errors import ChannelError, ConnectionLost, ProtocolMisuse
from leveret.wire.events import Content
from leveret.wire.methods import BasicCancel, BasicGet, BasicQos, BasicRecover
from leveret.wire.properties import BasicProperties

if TYPE_CHECKING:
    from leveret.client.connection import Connection
    from leveret.client.transport import Link

log = logging.getLogger(__name__)


class Channel(Declaring):
    """`on_return` takes every returned message, `on_close` the error if the channel ends other than by its `close`.

    Not closed by the end of its connection if that is replaced. Deliveries of the lost one cannot be settled any more:
    the broker delivers them again. Publishes without a confirm at that moment end in ConnectionLost: they may or may
    not have arrived, and whether to send them again is the caller's choice.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        super().__init__(connection, number)
        self._tags = count(1)
        self._encoder = Encoder()

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
        await self._room()
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
            self._refuse()
        payload, header = self._encoder.encode(exchange, routing_key, mandatory, properties)
        return session.publish(payload, header, body, (exchange, routing_key) if mandatory else None)

    @property
    def writable(self) -> bool:
        """Whether a message goes out at once: there is a connection with room, and the broker takes messages."""
        session = self._session
        return session is not None and session.error is None and _has_room(session.link)

    async def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until the socket takes more and the broker does not block publishers."""
        await bounded(self._drain(), timeout_s, "room for more messages")

    async def _drain(self) -> None:
        (await self._open_session()).link.flush()
        await self._room()

    async def _room(self) -> None:
        """Wait for a link that takes a message now. One that ends while it is waited for is followed by another."""
        while True:
            link = (await self._open_session()).link
            if _has_room(link):
                return
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
        """How many unacknowledged deliveries each consumer started next may have (`global_`: the whole channel).

        0 is no limit, as is a channel without any: then a queue's whole content comes as fast as the network carries
        it, and waits in this program's memory. Raises ChannelError, ConnectionLost, WaitTimeout.
        """
        await self.call(lambda: BasicQos(0, prefetch_count, global_), "basic.qos-ok")
        if global_:
            self.prefetch_shared = prefetch_count
        else:
            self.prefetch = prefetch_count

    async def get(self, queue: str, no_ack: bool = False) -> Delivery | None:
        """One message, or None if none is ready. One that comes too late for this call goes back to its queue.

        Raises ChannelError (404 no such queue, 405 another connection's), ConnectionLost, WaitTimeout.
        """
        return await self._bounded(self._get(queue, no_ack), f"the reply to basic.get of queue {queue!r}")

    async def _get(self, queue: str, no_ack: bool) -> Delivery | None:
        session = await self._open_session()
        method = BasicGet(queue=self._queue(queue), no_ack=no_ack)
        asked = session.ask(method, "basic.get-ok", "basic.get-empty")
        try:
            reply = await asyncio.shield(asked)
        except asyncio.CancelledError:
            if not no_ack:
                asked.add_done_callback(session.give_back)
            raise
        return fetched(session, reply, no_ack) if isinstance(reply, Content) else None

    async def consume(
        self,
        queue: str,
        callback: Callback,
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        consumer_tag: str = "",
        arguments: Arguments = None,
        on_cancel: OnCancel | None = None,
        on_close: OnClose | None = None,
    ) -> Consumer:
        """Have `callback` called with each delivery, on the event loop; it may be a coroutine function.

        `on_cancel` and `on_close` (see Consumer) given here cannot miss an end that follows the start at once. Without
        a prefetch (see qos) there is no limit to the deliveries under way. Raises ChannelError (404 no such queue, 403
        in exclusive use by another consumer), ConnectionLost, WaitTimeout.
        """
        consumer = Consumer(
            self,
            callback,
            queue,
            consumer_tag or f"leveret-{self.number}.{next(self._tags)}",
            no_ack=no_ack,
            exclusive=exclusive,
            arguments=arguments,
            prefetch=self.prefetch,
            on_cancel=on_cancel,
            on_close=on_close,
        )
        try:
            await self._bounded(self._start(consumer), f"the reply to basic.consume of queue {queue!r}")
        except BaseException:
            self._give_up(consumer)
            raise
        return consumer

    async def _start(self, consumer: Consumer) -> None:
        session = await self._open_session()
        if consumer.tag in self.consumers:
            raise ProtocolMisuse(f"consumer tag {consumer.tag!r} is in use on channel {self.number}")
        consumer.queue = self._queue(consumer.queue)
        # Known before the reply: deliveries follow it at once.
        self.consumers[consumer.tag] = consumer
        await asyncio.shield(session.start(consumer))

    def _give_up(self, consumer: Consumer) -> None:
        """It did not start, as far as we know."""
        if self.consumers.get(consumer.tag) is consumer:
            self._drop(consumer)

    def _drop(self, consumer: Consumer) -> None:
        """Whatever the broker made of it, on the present connection or the one being restored, it is to stop."""
        self.consumers.pop(consumer.tag, None)
        session = self._next or self._session
        if session is not None:
            session.abandon(consumer.tag, consumer.no_ack)

    async def cancel(self, consumer: Consumer) -> None:
        """See Consumer.cancel."""
        if consumer.cancelled:
            return
        consumer.cancelled = True
        session = self._session
        try:
            if session is not None and session.error is None:
                call = session.call(BasicCancel(consumer.tag), "basic.cancel-ok")
                await self._bounded(call, "the reply to basic.cancel")
                self.consumers.pop(consumer.tag, None)
        except (ConnectionLost, ChannelError):
            log.debug("consumer %s went with its channel", consumer.tag)
        finally:
            if self.consumers.get(consumer.tag) is consumer:
                self._drop(consumer)
            self.forget_auto_deleted(consumer.queue)

    async def recover(self) -> None:
        """Have all unacknowledged deliveries of this channel put back into their queues."""
        await self.call(lambda: BasicRecover(True), "basic.recover-ok")


def _has_room(link: Link) -> bool:
    return link.may_publish.is_set() and link.may_write.is_set()
