"""The blocking client: the same verbs as the asyncio one, for plain functions and threads.

    connection = connect_blocking("amqp://guest:guest@localhost:5672/%2F")
    channel = connection.channel(confirms=True)
    for delivery in channel.consume("task_queue", prefetch=1):
        delivery.ack()

Every call runs on the process's one background loop (client/threads), so that heartbeats go on while the program is
busy. Connections, channels and deliveries may be used from any thread. Protocol logic stands in the asyncio half only.
"""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from leveret.client.backoff import Backoff
from leveret.client.channel import Channel
from leveret.client.connection import DEFAULT_URL, Connection, connect
from leveret.client.declaring import Arguments, QueueDeclared
from leveret.client.inbox import BlockingDelivery, Deliveries
from leveret.client.threads import LoopThread, loop_thread
from leveret.client.url import parse_url
from leveret.wire.properties import BasicProperties

__all__ = ["BlockingChannel", "BlockingConnection", "BlockingDelivery", "connect_blocking"]

T = TypeVar("T")


def connect_blocking(
    url: str = DEFAULT_URL,
    *,
    name: str | None = None,
    heartbeat_s: int = 60,
    timeout_s: float = 10.0,
    reconnect: bool = True,
    backoff: Backoff | None = None,
) -> BlockingConnection:
    """See leveret.client.connect."""
    thread = loop_thread()
    target = parse_url(url)
    bound_s = len(target.endpoints) * (target.timeout_s or timeout_s)

    async def opening() -> Connection:
        core = await connect(
            url, name=name, heartbeat_s=heartbeat_s, timeout_s=timeout_s, reconnect=reconnect, backoff=backoff
        )
        thread.connections.add(core)  # here, for it is read on the loop's thread too
        return core

    return BlockingConnection(thread.run(opening(), bound_s, "a connection"), thread)


class BlockingConnection:
    """Made by `connect_blocking`. `core` is the asyncio connection; its callbacks are called on the loop's thread."""

    def __init__(self, core: Connection, thread: LoopThread) -> None:
        self.core = core
        self._thread = thread

    @property
    def blocked(self) -> bool:
        return self.core.blocked

    @property
    def closed(self) -> bool:
        return self.core.closed

    @property
    def connected(self) -> bool:
        return self.core.connected

    @property
    def server_properties(self) -> dict[str, object]:
        return self.core.server_properties

    def channel(self, prefetch: int | None = None, confirms: bool = False) -> BlockingChannel:
        core = self._thread.run(self.core.channel(prefetch, confirms), self.core.timeout_s, "a new channel")
        return BlockingChannel(core, self._thread, self.core.timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        self._thread.run(self.core.close(timeout_s), timeout_s, "the end of the connection")

    def __enter__(self) -> BlockingConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingChannel:
    """The verbs of client.Channel (`core`), each waiting for its reply in the calling thread."""

    def __init__(self, core: Channel, thread: LoopThread, timeout_s: float) -> None:
        self.core = core
        self._thread = thread
        self._timeout_s = timeout_s

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        return self._thread.run(work, self._timeout_s if timeout_s is None else timeout_s, "the broker's reply")

    @property
    def closed(self) -> bool:
        return self.core.closed

    def queue_declare(
        self,
        queue: str = "",
        *,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Arguments = None,
    ) -> QueueDeclared:
        declare = self.core.queue_declare(
            queue,
            passive=passive,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments,
        )
        return self._run(declare)

    def queue_bind(self, queue: str, exchange: str, routing_key: str = "", arguments: Arguments = None) -> None:
        self._run(self.core.queue_bind(queue, exchange, routing_key, arguments))

    def queue_unbind(self, queue: str, exchange: str, routing_key: str = "", arguments: Arguments = None) -> None:
        self._run(self.core.queue_unbind(queue, exchange, routing_key, arguments))

    def queue_delete(self, queue: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        return self._run(self.core.queue_delete(queue, if_unused=if_unused, if_empty=if_empty))

    def queue_purge(self, queue: str) -> int:
        return self._run(self.core.queue_purge(queue))

    def exchange_declare(
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
        declare = self.core.exchange_declare(
            exchange,
            type,
            passive=passive,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
        )
        self._run(declare)

    def exchange_delete(self, exchange: str, *, if_unused: bool = False) -> None:
        self._run(self.core.exchange_delete(exchange, if_unused=if_unused))

    def exchange_bind(self, destination: str, source: str, routing_key: str = "", arguments: Arguments = None) -> None:
        self._run(self.core.exchange_bind(destination, source, routing_key, arguments))

    def exchange_unbind(
        self, destination: str, source: str, routing_key: str = "", arguments: Arguments = None
    ) -> None:
        self._run(self.core.exchange_unbind(destination, source, routing_key, arguments))

    def qos(self, prefetch_count: int, global_: bool = False) -> None:
        self._run(self.core.qos(prefetch_count, global_))

    def confirm_select(self) -> None:
        self._run(self.core.confirm_select())

    def recover(self) -> None:
        self._run(self.core.recover())

    def publish(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str = "",
        properties: BasicProperties | None = None,
        mandatory: bool = False,
        timeout_s: float = 30.0,
    ) -> None:
        """See client.Channel.publish."""
        sending = self.core.publish(
            body,
            exchange=exchange,
            routing_key=routing_key,
            properties=properties,
            mandatory=mandatory,
            timeout_s=timeout_s,
        )
        self._run(sending, timeout_s)

    def publish_nowait(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str = "",
        properties: BasicProperties | None = None,
        mandatory: bool = False,
    ) -> Future[None]:
        """Send without waiting. The future brings the confirm, or None at once on a channel without confirms."""
        self._thread.check()
        return self._thread.link(
            lambda: self.core.publish_nowait(
                body, exchange=exchange, routing_key=routing_key, properties=properties, mandatory=mandatory
            )
        )

    def drain(self, timeout_s: float = 30.0) -> None:
        self._run(self.core.drain(timeout_s), timeout_s)

    def get(self, queue: str, no_ack: bool = False) -> BlockingDelivery | None:
        delivery = self._run(self.core.get(queue, no_ack))
        return None if delivery is None else BlockingDelivery(delivery, self._thread)

    def consume(
        self,
        queue: str,
        *,
        prefetch: int | None = None,
        inactivity_timeout_s: float | None = None,
        no_ack: bool = False,
        exclusive: bool = False,
        consumer_tag: str = "",
        arguments: Arguments = None,
    ) -> Deliveries:
        """An iterator over the queue's deliveries: consuming from now on, until it is closed.

        `prefetch` is how many may be unacknowledged at a time; if neither it nor the channel says, 1: a consumer is
        given its next message when it has done with the last. The loop goes on over reconnects; it ends when nothing
        came for `inactivity_timeout_s`, or when the broker cancels the consumer, and raises what ends the channel.
        Leaving the loop early cancels the consumer when the iterator is closed or collected: `with` does it at once.
        """
        deliveries = Deliveries(self.core, self._thread, inactivity_timeout_s)
        self._run(
            deliveries.start(
                queue,
                prefetch=prefetch,
                no_ack=no_ack,
                exclusive=exclusive,
                consumer_tag=consumer_tag,
                arguments=arguments,
            ),
            2 * self._timeout_s,
        )
        return deliveries

    def close(self) -> None:
        self._run(self.core.close())

    def __enter__(self) -> BlockingChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
