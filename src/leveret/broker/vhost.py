"""A virtual host: its exchanges, queues and bindings, and the verbs that change them.

Names are resolved, permissions and rights of use checked here (no peer: the broker itself asks); wrong use raises
ChannelError or ConnectionError with RabbitMQ's code and text. What is durable is told to the store. Messages do not pass through here: broker/router and broker/queue do.
Called by server/session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker import arguments as x_arguments
from leveret.broker.dead_letters import DeadLetters
from leveret.broker.definitions import (
    binding_definition,
    binding_key,
    delay_line_definition,
    exchange_definition,
    queue_definition,
)
from leveret.broker.delay_line import DelayLine
from leveret.broker.delayed_exchange import DelayedExchange
from leveret.broker.ear import lend_ear
from leveret.broker.exchange import Binding, Destination, Exchange
from leveret.broker.exchange_types import check_arguments, check_type, make_exchange
from leveret.broker.level import Level
from leveret.broker.permissions import CONFIGURE, READ, WRITE
from leveret.broker.queue import Queue
from leveret.broker.quotas import check_binding, check_exchange, check_queue
from leveret.broker.tenant import Tenant
from leveret.errors import ChannelError

if TYPE_CHECKING:
    from leveret.broker.commons import Commons
    from leveret.broker.peer import Peer
    from leveret.broker.replies import ReplyConsumer

TRACE: Final = "amq.rabbitmq.trace"
"""Internal: RabbitMQ's own messages about messages go there. Programs look for it; nothing is published to it here."""

PREDECLARED: Final = {
    "": "direct",
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
    TRACE: "topic",
}


class VirtualHost(Tenant):
    def __init__(self, name: str, commons: Commons) -> None:
        super().__init__(name, commons)
        self.store: Final = commons.store
        self.timers: Final = commons.timers
        self.clock: Final = commons.clock
        self.consumer_timeout_ms: Final = commons.consumer_timeout_ms
        self.replies: Final[dict[str, ReplyConsumer]] = {}
        """Who waits for direct replies, by the name that answers go to."""
        self.dead_letters: Final = DeadLetters(self)
        for predeclared, kind in PREDECLARED.items():
            self.exchanges[predeclared] = make_exchange(predeclared, kind, True, False, predeclared == TRACE, {})

    @property
    def now(self) -> int:
        """Milliseconds since the epoch. What is on a message's way asks the clock itself."""
        return self.clock.now

    def delivered(self, level: Level) -> None:
        """The level's watermark moved; it is told to the store once per loop turn."""
        self.commons.delivered[level.id] = level

    # ---- finding

    def queue(self, name: str, peer: Peer | None = None) -> Queue:
        """The queue, or 404; 405 if it is exclusive to another connection than `peer`."""
        queue = self.queues.get(name)
        if queue is None:
            raise ChannelError(404, f"NOT_FOUND - no queue '{name}' in vhost '{self.name}'")
        if peer is not None and queue.owner is not None and queue.owner is not peer:
            raise ChannelError(
                405,
                f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '{self.name}'. "
                "It could be originally declared on another connection or the exclusive property value does not "
                "match that of the original declaration.",
            )
        return queue

    def exchange(self, name: str) -> Exchange:
        """The exchange, or 404."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise ChannelError(404, f"NOT_FOUND - no exchange '{name}' in vhost '{self.name}'")
        return exchange

    def source(self, name: str) -> Exchange:
        """The exchange at the beginning of a binding: 403 for the default one, or 404."""
        self.not_default(name)
        return self.exchange(name)

    def not_default(self, name: str) -> None:
        """403 for the default exchange: every queue is bound to it by its name, and nothing else can be done to it."""
        if name == "":
            raise ChannelError(403, "ACCESS_REFUSED - operation not permitted on the default exchange")

    def _not_reserved(self, kind: str, name: str) -> None:
        if name.startswith("amq."):
            text = f"{kind} name '{name}' contains reserved prefix 'amq.*'"
            raise ChannelError(403, f"ACCESS_REFUSED - {text}")

    # ---- exchanges

    def declare_exchange(
        self,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: dict[str, object],
        peer: Peer | None = None,
    ) -> Exchange:
        """Make the exchange, or check that it is there with the same arguments (else 406)."""
        check_type(kind)
        self.not_default(name)
        self.permissions.require(peer, CONFIGURE, "exchange", name)
        existing = self.exchanges.get(name)
        if existing is not None:
            x_arguments.check_exchange_equivalent(existing, self.name, kind, durable, auto_delete, internal, arguments)
            return existing
        if peer is not None:
            self._not_reserved("exchange", name)
        check_exchange(self, name)
        check_arguments(name, self.name, kind, arguments)
        self._may_pass_on(peer, "exchange", name, arguments.get(x_arguments.ALTERNATE))
        exchange = make_exchange(name, kind, durable, auto_delete, internal, arguments)
        self.policies.apply(exchange)
        if isinstance(exchange, DelayedExchange):
            self.add_line(exchange)
        self.exchanges[name] = exchange
        lend_ear(exchange, self)
        self.epoch += 1
        if durable:
            self.store.save_exchange(self.name, name, exchange_definition(exchange))
        return exchange

    def _may_pass_on(self, peer: Peer | None, kind: str, name: str, to: object) -> None:
        """Who names another exchange in an alternate or dead-letter argument takes from here and publishes there."""
        if isinstance(to, str):
            self.permissions.require(peer, READ, kind, name)
            self.permissions.require(peer, WRITE, "exchange", to)

    def delete_exchange(self, name: str, if_unused: bool, peer: Peer | None = None) -> None:
        """Delete it with its bindings; a missing one is fine."""
        self.not_default(name)
        if name.startswith("amq."):
            text = f"deletion of system exchange '{name}' in vhost '{self.name}' not allowed"
            raise ChannelError(403, f"ACCESS_REFUSED - {text}")
        self.permissions.require(peer, CONFIGURE, "exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.bindings:
            raise ChannelError(406, f"PRECONDITION_FAILED - exchange '{name}' in vhost '{self.name}' in use")
        self._drop_exchange(exchange)

    def _drop_exchange(self, exchange: Exchange) -> None:
        if self.exchanges.pop(exchange.name, None) is None:
            return
        self.epoch += 1
        for binding in list(exchange.bindings.values()):
            self._forget_binding(binding)
            binding.destination.incoming.pop(binding.identity_from_source, None)
        if exchange.durable:
            self.store.delete_exchange(self.name, exchange.name)
        if isinstance(exchange, DelayedExchange):
            self._drop_line(exchange)
        self._unbind_all(exchange)

    def add_line(self, exchange: DelayedExchange) -> None:
        """Where the exchange's delayed messages wait; the store knows it as a queue."""
        line = exchange.line = DelayLine(self, exchange, self.commons.ids.take())
        if exchange.durable:
            self.store.save_queue(line.id, self.name, line.name, delay_line_definition(exchange))

    def _drop_line(self, exchange: DelayedExchange) -> None:
        line = exchange.line
        exchange.line = None
        if line is not None:
            line.forget()
            self.store.delete_queue(line.id, lambda: self.commons.ids.give(line.id))

    # ---- bindings

    def may_bind(self, peer: Peer, source: str, kind: str, destination: str, key: str) -> None:
        """403 unless the user may bind or unbind these; whether they exist is not asked yet."""
        self.permissions.require(peer, WRITE, kind, destination)
        if kind == "exchange":
            self.not_default(destination)
        self.not_default(source)
        self.permissions.require(peer, READ, "exchange", source)
        exchange = self.exchanges.get(source)
        if exchange is not None:
            self.permissions.require_topic(peer, READ, exchange, key)

    def bind(self, source_name: str, destination: Destination, key: str, arguments: dict[str, object]) -> None:
        """Bind a queue or an exchange; a binding that exists is left as it is."""
        source = self.source(source_name)
        binding = Binding(source, destination, key, arguments)
        source.check_binding(binding)
        if binding.identity in source.bindings:
            return
        check_binding(self)
        source.bind(binding)
        self._bound(binding)
        if self._is_kept(binding):
            self.store.save_binding(binding_key(self.name, binding), self.name, binding_definition(binding))

    def _bound(self, binding: Binding) -> None:
        binding.destination.incoming[binding.identity_from_source] = binding
        self.commons.bindings += 1
        self.epoch += 1

    def unbind(
        self,
        source_name: str,
        destination: Destination | None,
        key: str,
        arguments: dict[str, object],
        peer: Peer | None = None,
    ) -> None:
        """Remove a binding; one that is not there is fine. 405 if it leads to an exclusive queue of another than `peer`."""
        self.not_default(source_name)
        source = self.exchanges.get(source_name)
        if source is None or destination is None:
            return
        identity = Binding(source, destination, key, arguments).identity
        if isinstance(destination, Queue) and identity in source.bindings:
            self.queue(destination.name, peer)
        binding = source.unbind(identity)
        if binding is not None:
            destination.incoming.pop(binding.identity_from_source, None)
            self._unbound(binding)

    def _unbound(self, binding: Binding) -> None:
        """A binding is gone from its source; an auto-delete exchange goes with its last one."""
        self.epoch += 1
        self._forget_binding(binding)
        source = binding.source
        if source.auto_delete and not source.bindings:
            self._drop_exchange(source)

    def _unbind_all(self, destination: Destination) -> None:
        """The destination is gone: so is what led to it."""
        incoming = list(destination.incoming.values())
        destination.incoming.clear()
        for binding in incoming:
            if binding.source.unbind(binding.identity) is not None:
                self._unbound(binding)

    def _is_kept(self, binding: Binding) -> bool:
        destination = binding.destination
        if not binding.source.durable:
            return False
        if isinstance(destination, Queue):
            return destination.kept
        return isinstance(destination, Exchange) and destination.durable

    def _forget_binding(self, binding: Binding) -> None:
        self.commons.bindings -= 1
        if self._is_kept(binding):
            self.store.delete_binding(binding_key(self.name, binding))

    # ---- queues

    def declare_queue(
        self,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: dict[str, object],
        peer: Peer | None,
    ) -> Queue:
        """Make the queue, or check that it is there with the same arguments (else 406). No name: one is made up."""
        given = name
        if not name:
            x_arguments.check_server_named(arguments)
            name = f"amq.gen-{self.commons.random_name()}"
        self.permissions.require(peer, CONFIGURE, "queue", name)
        arguments = self._with_default_type(arguments, durable, exclusive, auto_delete)
        existing = self.queues.get(name)
        if existing is not None:
            self.queue(name, peer)
            x_arguments.check_queue_equivalent(existing, self.name, durable, exclusive, auto_delete, arguments)
            existing.disuse.used()
            self.commons.churn.queues_declared += 1
            return existing
        if given and peer is not None:
            self._not_reserved("queue", name)
        check_queue(self, name)
        x_arguments.check_queue_arguments(name, self.name, durable, exclusive, arguments, auto_delete=auto_delete)
        self._may_pass_on(peer, "queue", name, arguments.get(x_arguments.DEAD_LETTER))
        owner = peer if exclusive else None
        queue = Queue(self, self.commons.ids.take(), name, durable, auto_delete, owner, arguments)
        self._insert_queue(queue)
        self.commons.churn.queues_declared += 1
        self.commons.churn.queues_created += 1
        if owner is not None:
            owner.exclusive_queues[name] = queue
        if queue.kept:
            self.store.save_queue(queue.id, self.name, name, queue_definition(queue))
        return queue

    def make_level(self, queue: Queue, priority: int) -> Level:
        """The queue's first message of that priority has come."""
        level = Level(queue, self.commons.ids.take())
        if queue.kept:
            self.store.save_queue(level.id, self.name, queue.name, "", priority)
        return level

    def _with_default_type(
        self, arguments: dict[str, object], durable: bool, exclusive: bool, auto_delete: bool
    ) -> dict[str, object]:
        """The virtual host's queue type is for those that name none and could be of it."""
        kind = self.metadata.get("default_queue_type")
        if "x-queue-type" in arguments or kind not in x_arguments.QUEUE_TYPES:
            return arguments
        if kind == "quorum" and (not durable or exclusive or auto_delete):
            return arguments
        return {**arguments, "x-queue-type": kind}

    def _insert_queue(self, queue: Queue) -> None:
        self.policies.apply(queue)
        self.queues[queue.name] = queue
        self.epoch += 1

    # ---- recovery: what the store found is put back without telling the store

    def restore_queue(self, queue: Queue) -> None:
        self._insert_queue(queue)

    def restore_exchange(
        self, name: str, kind: str, auto_delete: bool, internal: bool, arguments: dict[str, object]
    ) -> Exchange:
        exchange = self.exchanges[name] = make_exchange(name, kind, True, auto_delete, internal, arguments)
        self.policies.apply(exchange)
        lend_ear(exchange, self)
        return exchange

    def restore_binding(self, source: str, destination: Destination, key: str, arguments: dict[str, object]) -> None:
        binding = Binding(self.exchanges[source], destination, key, arguments)
        if binding.source.bind(binding):
            self._bound(binding)

    def delete_queue(self, queue: Queue, if_unused: bool = False, if_empty: bool = False) -> int:
        """Delete it with its messages and bindings, and cancel its consumers; how many messages were ready."""
        if if_empty and queue.ready:
            raise ChannelError(406, f"PRECONDITION_FAILED - queue '{queue.name}' in vhost '{self.name}' not empty")
        if if_unused and queue.consumers:
            raise ChannelError(406, f"PRECONDITION_FAILED - queue '{queue.name}' in vhost '{self.name}' in use")
        count = queue.ready
        queue.deleted = True
        notices = self.commons.notices
        if notices is not None:
            notices.deleted(queue, count)
        del self.queues[queue.name]
        self.commons.churn.left(x_arguments.queue_type(queue.arguments), queue)
        self.past.written += queue.counts.written
        self.past.read += queue.counts.read
        self._unbind_all(queue)
        self.epoch += 1
        for consumer in list(queue.consumers):
            consumer.cancelled = True
            consumer.channel.consumers.pop(consumer.tag, None)
            consumer.channel.peer.consumer_cancelled(consumer.channel.number, consumer.tag)
        queue.consumers.clear()
        if queue.owner is not None:
            queue.owner.exclusive_queues.pop(queue.name, None)
            queue.owner = None
        queue.forget()
        for level in queue.backlog.levels():
            self._delete_level(level)
        return count

    def _delete_level(self, level: Level) -> None:
        if level.queue.kept or level.ever_paged:
            self.store.delete_queue(level.id, lambda: self.commons.ids.give(level.id))
        else:
            self.commons.ids.give(level.id)

    def delete_all(self) -> None:
        """The virtual host is deleted."""
        for queue in list(self.queues.values()):
            self.delete_queue(queue)
        for exchange in list(self.exchanges.values()):
            self._drop_exchange(exchange)
        self.forget_settings()
