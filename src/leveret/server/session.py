"""A client's connection on the server: wire events become broker calls, broker calls become frames.

No socket here: server/protocol hands in bytes and writes what `flush` gives. The messages' own path (publish, ack,
deliver, confirm) is in this file and compiled; every other method is a function in server/verbs or server/handshake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.broker import Broker
from leveret.broker.channel import Channel
from leveret.broker.peer import Peer
from leveret.broker.router import Router
from leveret.errors import AMQPError, ChannelError, Sated
from leveret.server.certificate import Tls
from leveret.server.config import Limits
from leveret.server.refusals import short, with_method
from leveret.server.showing import view
from leveret.wire.connection import Connection
from leveret.wire.events import (
    Ack,
    ChannelFailure,
    Event,
    HeaderMismatch,
    HeaderReceived,
    MethodReceived,
    ProtocolFailure,
    Publish,
)
from leveret.wire.machine import CLOSING
from leveret.wire.methods import (
    BasicCancel,
    BasicGetOk,
    BasicNack,
    BasicReturn,
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionUnblocked,
    Method,
    TxCommitOk,
)

if TYPE_CHECKING:
    from leveret.broker.message import Message

OUT_BYTES_MAX: Final = 1024 * 1024
"""A session with more than this to write gets no deliveries, nor messages it asks for, until it is written."""

NO_ROUTE: Final = 312


class Session(Peer):
    def __init__(
        self,
        broker: Broker,
        on_method: Callable[[Session, int, Method], None],
        on_header: Callable[[Session], None],
        mark_dirty: Callable[[], None],
        hold: Callable[[], None],
        release: Callable[[], None],
        limits: Limits,
    ) -> None:
        super().__init__()
        self.broker: Final = broker
        # What it asked for beyond what is good to be answered at once: done when the answers are written.
        self._later: list[Event] = []
        self.wire: Final = Connection(True, limits.message_bytes_max, limits.nesting_max)
        self.router: Router | None = None
        self._on_method: Final = on_method
        self._on_header: Final = on_header
        self._mark_dirty = mark_dirty
        self._hold = hold
        self._release = release
        self._confirming: list[Channel] = []
        self._last: Channel | None = None
        self.dirty: bool = False
        # `ending`: nothing more is taken from this client. `hang_up`: close the socket once all is written.
        self.ending: bool = False
        self.hang_up: bool = False
        # It published while an alarm was on, and is not read from until none is.
        self.blocked: bool = False
        # What the client said of itself, for the handshake and for management.
        self.client_properties: dict[str, object] = {}
        self.capabilities: dict[str, object] = {}
        self.mechanism: str = ""
        self.tls: Tls | None = None
        self.given_name: str = ""
        self.loopback: bool = False
        self.heartbeat_s: int = 0
        self.peer_host: str = ""
        self.peer_port: int = 0
        self.host: str = ""
        self.port: int = 0
        self.connected_at_ms: int = 0
        self.sent_bytes: int = 0
        self.reads: int = 0
        self.writes: int = 0
        self.close_reason: str = ""

    def view(self) -> dict[str, object]:
        return view(self)

    def place(self) -> dict[str, object]:
        return {"peer_host": self.peer_host, "peer_port": self.peer_port}

    def traffic(self) -> tuple[int, int, int, int]:
        return self.wire.heard, self.sent_bytes, self.reads, self.writes

    # ---- in

    def receive(self, data: bytes) -> None:
        """Everything that `data` says, in order. Errors end the channel or the connection, never this call."""
        self.reads += 1
        events = self.wire.receive(data)
        if self._later:
            self._later.extend(events)
        else:
            self._handle_all(events)

    def _handle_all(self, events: list[Event]) -> None:
        for event in events:
            try:
                self._handle(event)
            except Sated:
                self._later = events[events.index(event) :]
                self._hold()
                break
            except ChannelError as error:
                self.close_channel(event.channel, error)
            except AMQPError as error:
                self.close(error.code, error.text, error.class_id, error.method_id)
        if self.broker.alarms.on and not self.blocked:
            self._alarmed(events)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Publish):
            channel = self._channel(event.channel)
            router = self.router
            if channel is not None and router is not None:
                try:
                    router.publish(channel, event.address, event.header, event.body)
                except AMQPError as error:
                    raise with_method(error, 60, 40) from None
        elif isinstance(event, Ack):
            channel = self._channel(event.channel)
            if channel is not None:
                try:
                    channel.ack(event.delivery_tag, event.multiple)
                except AMQPError as error:
                    raise with_method(error, 60, 80) from None
        elif isinstance(event, MethodReceived):
            self._method(event)
        else:
            self._rare(event)

    def _channel(self, number: int) -> Channel | None:
        """The channel, unless it is closed or closing: what still arrives for it is dropped."""
        channel = self._last
        if channel is not None and channel.number == number and not channel.closed:
            return channel
        channel = self.channels.get(number)
        self._last = channel
        return channel

    def _method(self, event: MethodReceived) -> None:
        method = event.method
        if self.ending and method.class_id != 10:
            return
        wire = self.wire
        over = wire.closed_by_peer or (wire.state >= CLOSING and method.name != "connection.close-ok")
        if over and event.channel == 0 and method.name != "connection.close":
            return  # the wire is ahead: what came behind the method has ended the connection, and nobody is answered
        try:
            self._on_method(self, event.channel, method)
        except AMQPError as error:
            raise with_method(error, method.class_id, method.method_id) from None

    def _rare(self, event: Event) -> None:
        if isinstance(event, HeaderReceived):
            if self.wire.state < CLOSING:
                self._on_header(self)
        elif isinstance(event, HeaderMismatch):
            self.wire.refuse()
            self.end("wrong protocol header")
        elif isinstance(event, ProtocolFailure):
            self.close(event.code, event.text, event.class_id, event.method_id)
        elif isinstance(event, ChannelFailure):
            raise ChannelError(event.code, event.text, event.class_id, event.method_id)

    def drained(self) -> None:
        """The answers are written."""
        super().drained()
        self.go_on()

    def go_on(self) -> None:
        """With what was asked for besides, which waits again if it has to."""
        if self._later:
            later = self._later
            self._later = []
            self._release()
            self._handle_all(later)

    def spare_memory(self) -> None:
        self.wire.addresses.forget()

    # ---- alarms

    def _alarmed(self, events: list[Event]) -> None:
        """An alarm is on: nothing more is read from a client that publishes."""
        if self.ending or self.router is None:
            return
        if self.wire.inside_content() or any(isinstance(event, Publish) for event in events):
            self.blocked = True
            self._hold()
            if self.capabilities.get("connection.blocked"):
                self.send(0, ConnectionBlocked(reason=self.broker.alarms.reason))

    def unblock(self) -> None:
        if self.blocked:
            self.blocked = False
            self._release()
            if self.capabilities.get("connection.blocked") and not self.ending:
                self.send(0, ConnectionUnblocked())

    # ---- out

    def send(self, channel: int, method: Method) -> None:
        self.wire.send(channel, method)
        self.touch()

    def touch(self) -> None:
        """There is something to write: `flush` will be called before the loop's turn ends."""
        if not self.dirty:
            self.dirty = True
            self._mark_dirty()

    def deliver(
        self,
        channel: int,
        tag: bytes,
        delivery_tag: int,
        redelivered: bool,
        address: bytes,
        header: bytes,
        body: bytes,
    ) -> None:
        wire = self.wire
        wire.deliver(channel, tag, delivery_tag, redelivered, address, header, body)
        if wire.out_bytes > OUT_BYTES_MAX:
            self.congested = True
        if not self.dirty:
            self.dirty = True
            self._mark_dirty()

    def send_got(self, channel: int, tag: int, message: Message, left: int) -> None:
        """basic.get-ok with its content; `left` messages are still ready."""
        address = message.address
        middle = 1 + address[0]
        method = BasicGetOk(
            delivery_tag=tag,
            redelivered=message.redelivered,
            exchange=address[1:middle].decode("utf-8", "surrogateescape"),
            routing_key=address[middle + 1 :].decode("utf-8", "surrogateescape"),
            message_count=left,
        )
        self.wire.pass_content(channel, method, message.queue.header_of(message), message.body)
        self.touch()

    def return_unroutable(self, channel: int, exchange: str, routing_key: str, header: bytes, body: bytes) -> None:
        method = BasicReturn(reply_code=NO_ROUTE, reply_text="NO_ROUTE", exchange=exchange, routing_key=routing_key)
        self.wire.pass_content(channel, method, header, body)
        self.touch()

    def consumer_cancelled(self, channel: int, tag: str) -> None:
        if self.capabilities.get("consumer_cancel_notify") and not self.ending:
            self.send(channel, BasicCancel(consumer_tag=tag, no_wait=True))

    def force_close(self, reason: str) -> None:
        self.close(320, f"CONNECTION_FORCED - {reason}")

    def confirms_ready(self, channel: Channel) -> None:
        if not channel.closed:
            self._confirming.append(channel)
            self.touch()

    def hold(self) -> None:
        self._hold()

    def release(self) -> None:
        self._release()

    def flush(self) -> bytes:
        """What is to be written to the socket, confirms included; called once per loop turn in which there was any."""
        self.dirty = False
        wire = self.wire
        if self._confirming:
            confirming = self._confirming
            self._confirming = []
            for channel in confirming:
                if not channel.closed:
                    self._confirm(channel)
        data = wire.take()
        self.sent_bytes += len(data)
        self.writes += 1
        return data

    def _confirm(self, channel: Channel) -> None:
        confirms = channel.confirms
        if confirms is None:
            self._commit(channel)
            return
        before = confirms.floor
        refused, upto, singles = confirms.take()
        for number in refused:
            self.wire.send(channel.number, BasicNack(delivery_tag=number))
        if upto:
            self.wire.ack(channel.number, upto, upto > before + 1)
        for number in singles:
            self.wire.ack(channel.number, number, False)

    def _commit(self, channel: Channel) -> None:
        """tx.commit is answered once all that it published is safe."""
        transaction = channel.transaction
        if transaction is not None:
            transaction.confirms.take()
            if transaction.finished():
                self.wire.send(channel.number, TxCommitOk())

    # ---- the ends of channels and of the connection

    def close_channel(self, number: int, error: AMQPError) -> None:
        """End the channel with channel.close; what it held goes back to the queues."""
        if self.ending:
            return
        channel = self.channels.pop(number, None)
        self._last = None
        if channel is None:
            return
        method = ChannelClose(
            reply_code=error.code,
            reply_text=short(error.text),
            failed_class=error.class_id,
            failed_method=error.method_id,
        )
        self.send(number, method)
        channel.close()

    def close(self, code: int, text: str, class_id: int = 0, method_id: int = 0) -> None:
        """End the connection with connection.close; it waits for close-ok, but not for long (server/protocol)."""
        if self.ending:
            return
        method = ConnectionClose(
            reply_code=code, reply_text=short(text), failed_class=class_id, failed_method=method_id
        )
        self.close_reason = f"{code} {text}"
        self.ending = True
        self.unblock()
        self.send(0, method)
        self.broker.disconnect(self)

    def end(self, reason: str) -> None:
        """Nothing more comes: everything it held goes back, and the socket is closed when all is written."""
        if not self.close_reason:
            self.close_reason = reason
        self.ending = True
        self.hang_up = True
        self.broker.disconnect(self)
        self.touch()

    def let_go(self) -> None:
        """The socket is gone: forget its protocol, so that both are freed now and not by the next full collection."""
        self._mark_dirty = self._hold = self._release = nothing
        self._last = None
        self._confirming = []
        self._later = []


def nothing() -> None:
    """Nobody writes, and nobody reads, any more."""
