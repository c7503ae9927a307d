"""A channel's verbs for queues, exchanges and bindings. What is declared is remembered for the next connection.

Each raises ChannelError as the broker refuses (404 not found, 405 another connection's, 406 declared otherwise or in
use), which ends the channel; ConnectionLost or WaitTimeout, and then it may or may not have been done. A base of
client/channel, apart from it only for its length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from leveret.client.lifetime import Lifetime
from leveret.wire.methods import (
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
)

Arguments = Mapping[str, Any] | None


class QueueDeclared(NamedTuple):
    """`messages` are the ready ones."""

    queue: str
    messages: int
    consumers: int


class Declaring(Lifetime):
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
        remember: bool = True,
    ) -> QueueDeclared:
        """Without a name the broker chooses one. Declared again after a reconnect, unless `passive` or not to `remember`."""
        sent, reply = await self.call(
            lambda: QueueDeclare(
                queue=self._topology.current(queue),
                passive=passive,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                arguments=dict(arguments or {}),
            ),
            "queue.declare-ok",
        )
        assert isinstance(reply, QueueDeclareOk)
        self._last_queue = reply.queue
        if remember and not passive:
            self._topology.add_queue(sent, reply.queue)
        return QueueDeclared(reply.queue, reply.message_count, reply.consumer_count)

    async def queue_bind(
        self,
        queue: str,
        exchange: str,
        routing_key: str = "",
        arguments: Arguments = None,
        *,
        remember: bool = True,
    ) -> None:
        binding, _ = await self.call(
            lambda: QueueBind(
                queue=self._queue(queue),
                exchange=exchange,
                routing_key=routing_key,
                arguments=dict(arguments or {}),
            ),
            "queue.bind-ok",
        )
        if remember:
            self._topology.add_binding(binding)

    async def queue_unbind(self, queue: str, exchange: str, routing_key: str = "", arguments: Arguments = None) -> None:
        table = dict(arguments or {})
        sent, _ = await self.call(
            lambda: QueueUnbind(queue=self._queue(queue), exchange=exchange, routing_key=routing_key, arguments=table),
            "queue.unbind-ok",
        )
        self._topology.remove_binding(
            QueueBind(queue=sent.queue, exchange=exchange, routing_key=routing_key, arguments=table)
        )

    async def queue_delete(self, queue: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """The number of messages that went with it."""
        sent, reply = await self.call(
            lambda: QueueDelete(queue=self._queue(queue), if_unused=if_unused, if_empty=if_empty), "queue.delete-ok"
        )
        assert isinstance(reply, QueueDeleteOk)
        self._topology.remove_queue(sent.queue)
        return reply.message_count

    async def queue_purge(self, queue: str) -> int:
        """The number of ready messages that were removed."""
        _, reply = await self.call(lambda: QueuePurge(queue=self._queue(queue)), "queue.purge-ok")
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
        remember: bool = True,
    ) -> None:
        """Declared again after a reconnect, unless `passive` or not to `remember`."""
        method = ExchangeDeclare(
            exchange=exchange,
            type=type,
            passive=passive,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=dict(arguments or {}),
        )
        await self.call(lambda: method, "exchange.declare-ok")
        if remember and not passive:
            self._topology.add_exchange(method)

    async def exchange_delete(self, exchange: str, *, if_unused: bool = False) -> None:
        await self.call(lambda: ExchangeDelete(exchange=exchange, if_unused=if_unused), "exchange.delete-ok")
        self._topology.remove_exchange(exchange)

    async def exchange_bind(
        self, destination: str, source: str, routing_key: str = "", arguments: Arguments = None
    ) -> None:
        method = ExchangeBind(
            destination=destination, source=source, routing_key=routing_key, arguments=dict(arguments or {})
        )
        await self.call(lambda: method, "exchange.bind-ok")
        self._topology.add_binding(method)

    async def exchange_unbind(
        self, destination: str, source: str, routing_key: str = "", arguments: Arguments = None
    ) -> None:
        table = dict(arguments or {})
        method = ExchangeUnbind(destination=destination, source=source, routing_key=routing_key, arguments=table)
        await self.call(lambda: method, "exchange.unbind-ok")
        self._topology.remove_binding(
            ExchangeBind(destination=destination, source=source, routing_key=routing_key, arguments=table)
        )
