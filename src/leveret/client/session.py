"""One channel number on one link, from channel.open to its end: where replies, confirms and deliveries go.

It does not survive its connection; client/channel does, with a new session each time. Fed by client/transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leveret.client.confirms import Confirms
from leveret.client.delivery import Delivery, Returned
from leveret.client.waiting import Replies, Reply, again
from leveret.errors import ChannelError, ConnectionLost
from leveret.wire import events
from leveret.wire.frames import header_payload
from leveret.wire.methods import (
    BasicCancel,
    BasicGetOk,
    BasicNack,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ConfirmSelect,
    Method,
)

if TYPE_CHECKING:
    import asyncio

    from leveret.client.consumer import Consumer
    from leveret.client.transport import Link


class Session:
    """`error` is None while the session is open, then why it ended. `on_end` is called with it, once."""

    def __init__(self, link: Link, number: int, consumers: dict[str, Consumer] | None = None) -> None:
        self.link = link
        self.number = number
        self.consumers = {} if consumers is None else consumers
        self.error = link.error
        self.confirms: Confirms | None = None
        self.on_end: Callable[[Exception], None] | None = None
        self.on_return: Callable[[Returned], None] | None = None
        self._ended = False
        self._replies = Replies(link.loop)
        self._starting: dict[str, asyncio.Future[Reply]] = {}  # by the tags of consumers
        self._abandoned: dict[str, bool] = {}  # tags of consumers nobody has any more, and whether they were no_ack
        if self.error is None:
            link.sessions[number] = self

    # ---- requests

    async def open(self) -> None:
        await self.call(ChannelOpen(), "channel.open-ok")

    async def call(self, method: Method, *replies: str) -> Reply:
        """Send `method` and wait for one of `replies`. Bounded by the caller."""
        return await self.ask(method, *replies)

    def ask(self, method: Method, *replies: str) -> asyncio.Future[Reply]:
        """Send `method`; the future brings its reply."""
        self.check()
        # Sent first: a method that cannot be encoded raises here, and then no reply is awaited.
        self.link.send(self.number, method)
        return self._replies.expect(*replies)

    def check(self) -> None:
        if self.error is not None:
            raise again(self.error)

    async def confirm_select(self) -> None:
        if self.confirms is None:
            selecting = self.ask(ConfirmSelect(), "confirm.select-ok")
            # With the sending, not with the reply: the broker counts what is published behind it.
            self.confirms = Confirms(self.link.loop)
            await selecting

    def start(self, consumer: Consumer) -> asyncio.Future[Reply]:
        """Ask for its deliveries; the future brings the broker's consent, and has to be shielded from who gives up waiting."""
        tag = consumer.tag
        starting = self._starting[tag] = self.ask(consumer.method(), "basic.consume-ok")
        starting.add_done_callback(lambda _: self._starting.pop(tag, None))
        return starting

    def abandon(self, tag: str, no_ack: bool) -> None:
        """A consumer that the broker may have started, or may not have stopped, is to stop; no reply is awaited.

        One that is being started is left to start first: RabbitMQ (3.10) may end the connection of who cancels a consumer before
        its basic.consume-ok (541).
        """
        self._abandoned[tag] = no_ack
        starting = self._starting.get(tag)
        if starting is None:
            self._stop(tag)
        else:
            starting.add_done_callback(lambda _: self._stop(tag))

    def _stop(self, tag: str) -> None:
        if self.error is None:
            self.link.send(self.number, BasicCancel(tag, no_wait=True))

    async def close(self) -> None:
        closed = self.ask(ChannelClose(200, "Goodbye"), "channel.close-ok")
        # From now on nothing can be sent: who tries is told why, not that the protocol forbids it.
        self.error = ConnectionLost("the channel was closed by this program")
        await closed

    def discard(self, reason: Exception) -> None:
        """Close it without waiting for the reply."""
        if self.error is None:
            self.link.send(self.number, ChannelClose(200, "Goodbye"))
            self.end(reason)

    # ---- messages out

    def publish(
        self, payload: bytes, properties: bytes, body: bytes, mandatory: tuple[str, str] | None
    ) -> asyncio.Future[None] | None:
        """`payload` is an encoded basic.publish. The future of its confirm, if the channel is in confirm mode."""
        self.check()
        link = self.link
        link.machine.publish(self.number, payload, header_payload(len(body), properties), body)
        link.schedule()
        if self.confirms is None:
            return None
        return self.confirms.expect(None if mandatory is None else (*mandatory, body))

    # What is settled after the end needs no word: the broker has the message back (see Delivery for the error).

    def ack(self, delivery_tag: int, multiple: bool) -> None:
        if self.error is None:
            self.link.machine.ack(self.number, delivery_tag, multiple)
            self.link.schedule()

    def nack(self, delivery_tag: int, requeue: bool, multiple: bool) -> None:
        if self.error is None:
            self.link.send(self.number, BasicNack(delivery_tag, multiple, requeue))

    def reject(self, delivery_tag: int, requeue: bool) -> None:
        if self.error is None:
            self.link.send(self.number, BasicReject(delivery_tag, requeue))

    def give_back(self, asked: asyncio.Future[Reply]) -> None:
        """The reply to a basic.get that nobody waits for any more."""
        if asked.cancelled() or asked.exception() is not None:
            return
        method = asked.result().method
        if isinstance(method, BasicGetOk):
            self.nack(method.delivery_tag, True, False)

    # ---- what arrives

    def deliver(self, event: events.Delivery) -> None:
        consumer = self.consumers.get(event.consumer_tag)
        if consumer is not None:
            consumer.take(Delivery(self, event, consumer.no_ack))
        else:
            self._stray(event)

    def _stray(self, event: events.Delivery) -> None:
        """A delivery that nobody takes: it goes back, and its consumer is to stop, or it would come again for ever."""
        tag = event.consumer_tag
        if tag not in self._abandoned:
            self.abandon(tag, False)
        if not self._abandoned[tag]:
            self.nack(event.delivery_tag, True, False)

    def confirmed(self, number: int, multiple: bool) -> None:
        if self.confirms is not None:
            self.confirms.settle(number, multiple, True)

    def receive(self, event: Reply) -> None:
        handle = _HANDLERS.get(type(event.method))
        if handle is not None:
            handle(self, event)
        elif not self._replies.answer(event):
            self.link.end(ConnectionLost(f"the broker sent {event.method.name}, which nobody asked for"))

    def _closed(self, event: Any) -> None:
        method = event.method
        self.link.send(self.number, ChannelCloseOk())
        self.end(ChannelError(method.reply_code, method.reply_text, method.failed_class, method.failed_method))

    def _close_ok(self, event: Any) -> None:
        self._replies.answer(event)
        self.end(ConnectionLost("the channel was closed by this program"))

    def _nacked(self, event: Any) -> None:
        if self.confirms is not None:
            self.confirms.settle(event.method.delivery_tag, event.method.multiple, False)

    def _flow(self, event: Any) -> None:
        """RabbitMQ never sends it and Leveret blocks connections instead; answered as the specification asks."""
        self.link.send(self.number, ChannelFlowOk(event.method.active))

    def _cancelled(self, event: Any) -> None:
        consumer = self.consumers.pop(event.method.consumer_tag, None)
        if consumer is not None:
            consumer.cancelled_by_broker()

    def _returned(self, event: Any) -> None:
        method = event.method
        message = Returned(
            method.reply_code,
            method.reply_text,
            method.exchange,
            method.routing_key,
            event.header,
            event.body,
        )
        if self.confirms is not None:
            self.confirms.came_back(message)
        if self.on_return is not None:
            self.on_return(message)

    def end(self, error: Exception) -> None:
        if self._ended:
            return
        self._ended = True
        if self.error is None:
            self.error = error
        self.link.sessions.pop(self.number, None)
        self._replies.fail(error)
        if self.confirms is not None:
            self.confirms.fail(self.error)
        if self.on_end is not None:
            self.on_end(self.error)


_HANDLERS: dict[type[Method], Callable[[Session, Any], None]] = {
    BasicCancel: Session._cancelled,
    BasicNack: Session._nacked,
    BasicReturn: Session._returned,
    ChannelClose: Session._closed,
    ChannelCloseOk: Session._close_ok,
    ChannelFlow: Session._flow,
}


def fetched(session: Session, event: events.Content, no_ack: bool) -> Delivery:
    """The delivery in a basic.get-ok."""
    method = event.method
    assert isinstance(method, BasicGetOk)
    address = events.Address(method.exchange, method.routing_key, False, False, b"")
    inner = events.Delivery(
        event.channel, "", method.delivery_tag, method.redelivered, address, event.header, event.body
    )
    return Delivery(session, inner, no_ack)
