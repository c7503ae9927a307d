"""A queue: messages in, messages out to the consumers that have room, back again if they are not acknowledged.

Ready messages live behind broker/backlog, consumers with room in broker/consumer's Ring; this module joins them, keeps
expiry and counts, and tells the store. Declared and found by broker/vhost; acks come from broker/channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.arguments import queue_type
from leveret.broker.backlog import Backlog
from leveret.broker.consumer import Consumer, Ring
from leveret.broker.counts import Counts
from leveret.broker.disuse import Disuse
from leveret.broker.exchange import Destination
from leveret.broker.expiry import Expiry
from leveret.broker.flow import FULL_MESSAGES, Flow
from leveret.broker.leaving import Leaving
from leveret.broker.level import Level
from leveret.broker.limit import UNLIMITED, Excess, Limit, limit_of
from leveret.broker.message import DELIVERY_LIMIT, MAXLEN, REJECTED, Message
from leveret.broker.priorities import Priorities
from leveret.store.batch import DURABLE, GATHERED, IDLE
from leveret.wire.fields import with_fields
from leveret.wire.scan import Scan

if TYPE_CHECKING:
    from leveret.broker.confirms import Confirms
    from leveret.broker.dead_letters import DeadLetters
    from leveret.broker.peer import Peer
    from leveret.broker.vhost import VirtualHost

DELIVERY_LIMIT_DEFAULT: Final = 20
"""Of quorum queues, as in RabbitMQ 4; -1 is none."""


class Queue(Destination):
    def __init__(
        self,
        vhost: VirtualHost,
        queue_id: int,
        name: str,
        durable: bool,
        auto_delete: bool,
        owner: Peer | None,
        arguments: dict[str, object],
    ) -> None:
        super().__init__("queue", name)
        # First, and so side by side in memory, what every message on its way through touches: with ten thousand queues in
        # turn nothing of them is in the processor's cache any more.
        self.limit: Limit = UNLIMITED
        self.store: Final = vhost.store
        self.vhost: Final = vhost
        self.kept: Final = durable and owner is None
        self.expires_any: bool = False
        self.deleted: bool = False
        # From so many channels older messages are still coming back: what was never delivered has to wait for them.
        self.returning: int = 0
        # A quorum queue counts how often a message failed, tells its consumers, and gives it up beyond a limit.
        self.counts_failures: Final = queue_type(arguments) == "quorum"
        self.ttl_ms: int = -1
        self.ring: Final = Ring()
        self.published: int = 0
        self.delivered: int = 0
        self.acknowledged: int = 0
        self.unacked: int = 0
        self.unacked_bytes: int = 0
        self.id: Final = queue_id
        self.first: Final = Level(self, queue_id)
        self.arguments: Final = arguments
        self.backlog: Final = self._make_backlog()
        # As declared. `owner` is the connection of an exclusive queue; only a durable queue without one is kept.
        self.durable: Final = durable
        self.auto_delete: Final = auto_delete
        self.owner = owner
        # x-single-active-consumer: only the first of `consumers` gets messages.
        self.single_active: Final = arguments.get("x-single-active-consumer") is True
        # What its arguments and policies together ask for: set by `configure`.
        self.consumer_timeout_ms: int = 0
        self.delivery_limit: int = -1
        self.dead_letters: DeadLetters | None = None
        self.dead_letter_exchange: str = ""
        self.dead_letter_key: str | None = None
        # In memory.
        self.consumers: list[Consumer] = []
        self.exclusive_consumer: bool = False
        self.counts: Final = Counts()  # those that are not above
        self._waiting: list[Callable[[], None]] = []
        self.flow: Final = Flow(self)
        self.expiry: Final = Expiry(self)
        self.excess: Final = Excess(self)
        self.disuse: Final = Disuse(self)
        self.configure(arguments)

    def configure(self, settings: dict[str, object]) -> None:
        """Take over `settings`, named like the arguments that a client may declare; also while the queue is in use."""
        ttl = settings.get("x-message-ttl")
        self.ttl_ms = ttl if isinstance(ttl, int) else -1
        self.limit = limit_of(settings)
        timeout = settings.get("x-consumer-timeout", self.vhost.consumer_timeout_ms)
        self.consumer_timeout_ms = timeout if isinstance(timeout, int) else 0
        limit = settings.get("x-delivery-limit", DELIVERY_LIMIT_DEFAULT)
        self.delivery_limit = limit if isinstance(limit, int) and self.counts_failures else -1
        exchange = settings.get("x-dead-letter-exchange")
        key = settings.get("x-dead-letter-routing-key")
        self.dead_letters = self.vhost.dead_letters if isinstance(exchange, str) else None
        self.dead_letter_exchange = exchange if isinstance(exchange, str) else ""
        self.dead_letter_key = key if isinstance(key, str) else None
        self.disuse.configure(settings)
        self.excess.drop()

    def _make_backlog(self) -> Backlog:
        highest = self.arguments.get("x-max-priority")
        if not isinstance(highest, int) or not highest:
            return self.first
        priorities = Priorities(highest, self._make_level)
        priorities.insert(0, self.first)
        return priorities

    def add_level(self, priority: int, level: Level) -> None:
        """At start: the store has messages of that priority."""
        if isinstance(self.backlog, Priorities):
            self.backlog.insert(priority, level)

    def _make_level(self, priority: int) -> Level:
        return self.vhost.make_level(self, priority)

    # ---- in

    def publish(
        self,
        address: bytes,
        header: bytes,
        body: bytes,
        scan: Scan,
        expiration_ms: int,
        confirms: Confirms | None,
        sequence: int,
        peer: Peer | None,
    ) -> None:
        limit = self.limit
        backlog = self.backlog
        level = backlog.level(scan.priority)
        message = Message(self, level.id, level.next_position, address, header, body, scan)
        if limit.rejects and limit.full(backlog, len(body)):
            self._refuse(message, confirms, sequence)
            return
        level.next_position += 1
        self.published += 1
        if expiration_ms >= 0 or self.ttl_ms >= 0:
            self.expiry.limit(message, expiration_ms)
        if self.kept and scan.delivery_mode == 2:
            message.confirms = confirms
            message.sequence = sequence
            self.counts.written += 1
            self.store.add(message)
        elif confirms is not None:
            confirms.settle(sequence)
        if not backlog.count and not self.returning:
            consumer = self.ring.next()
            if consumer is not None:
                self._deliver(message, consumer)
                return
            if self.expires_any:
                level.push(message)
                self.expiry.run()
                if limit.drops:
                    self.excess.drop()
                return
        level.push(message)
        if limit.drops:
            self.excess.drop()
        if confirms is None and peer is not None and backlog.count >= FULL_MESSAGES:
            self.flow.full(peer)

    def _refuse(self, message: Message, confirms: Confirms | None, sequence: int) -> None:
        """There is no room for a new message."""
        if self.limit.buries:
            self.vhost.commons.churn.died(queue_type(self.arguments), self.dead_letters is not None, MAXLEN)
            if self.dead_letters is not None:
                self.dead_letters.send(self, message, MAXLEN)
        if confirms is not None:
            confirms.refuse(sequence)

    # ---- out

    def dispatch(self) -> None:
        """Deliver from the front while a consumer has room."""
        ring = self.ring
        backlog = self.backlog
        if self.expires_any:
            self.expiry.run()
        while ring:
            if self._front() is None:
                return
            consumer = ring.next()
            if consumer is None:
                return
            self._deliver(backlog.pop(), consumer)
            if self.expires_any:
                self.expiry.run()
            if self.flow.held:
                self.flow.taken()

    def _deliver(self, message: Message, consumer: Consumer) -> None:
        self.delivered += 1
        channel = consumer.channel
        if message.redelivered:
            self.counts.redelivered += 1
            channel.counts.redelivered += 1
        self._mark_delivered(message)
        tag = channel.hand_out(message, consumer)
        channel.peer.deliver(
            channel.number,
            consumer.tag_encoded,
            tag,
            message.redelivered,
            message.address,
            self.header_of(message) if message.redelivered else message.header,
            message.body,
        )
        if consumer.no_ack:
            self.counts.no_ack += 1
            self.drop(message)
        elif message.state == DURABLE:
            message.keep_among(channel.unacked.count)

    def header_of(self, message: Message) -> bytes:
        """As a receiver is to see it: a quorum queue tells how often the message has failed."""
        if not self.counts_failures or not message.deliveries:
            return message.header
        return with_fields(message.header, {"x-delivery-count": message.deliveries})

    def get(self) -> Message | None:
        """basic.get: the first message, which is now the caller's to hold or to drop."""
        self.disuse.used()
        self.expiry.run()
        if self._front() is None:
            return None
        message = self.backlog.pop()
        self.delivered += 1
        self._mark_delivered(message)
        return message

    def _mark_delivered(self, message: Message) -> None:
        """After a restart, what stands up to here in the store may have been seen before."""
        level = self.backlog.level(message.scan.priority)
        if message.position > level.delivered_to:
            level.delivered_to = message.position
            if self.kept and not level.moved:
                level.moved = True
                self.vhost.delivered(level)

    def acknowledge(self, message: Message) -> None:
        """The message is done."""
        self.acknowledged += 1
        self.drop(message)

    def give_up(self, message: Message, reason: str) -> None:
        """The message leaves the queue undone: to the dead letter exchange, if there is one."""
        if self.dead_letters is not None:
            if message.away:
                level = self.backlog.level(message.scan.priority)
                level.fetch(message, lambda: self.give_up(message, reason))
                return
            self.dead_letters.send(self, message, reason)
        self.vhost.commons.given_up(message, queue_type(self.arguments), self.dead_letters is not None, reason)
        self.drop(message)

    def drop(self, message: Message) -> None:
        """The message leaves the queue for good."""
        # Another queue may have the number of a deleted one by now.
        if message.state != IDLE and (not self.deleted or message.state == GATHERED):
            self.store.remove(message)

    def give_back(self, message: Message, failed: bool) -> bool:
        """The message was not acknowledged: it is ready again at its old place, or given up (False). The caller dispatches.

        `failed`: whoever had it crashed over it or said that it failed, rather than giving it back untouched.
        """
        if self.deleted:
            return False
        message.consumer = None
        message.redelivered = True
        if failed or not self.counts_failures:
            message.deliveries += 1
            if 0 <= self.delivery_limit < message.deliveries:
                self.give_up(message, DELIVERY_LIMIT)
                return False
            if message.state != IDLE:
                self.store.touch(message)
        self.backlog.level(message.scan.priority).give_back(message)
        if self.limit.drops:
            self.excess.drop()
        return True

    def discard(self, message: Message) -> None:
        """The message was rejected without requeue."""
        if not self.deleted:
            self.give_up(message, REJECTED)

    def loaded(self) -> None:
        """The backlog has more to show than before."""
        waiting = self._waiting
        self._waiting = []
        for call in waiting:
            call()
        if not self.deleted:
            self.dispatch()
            self.excess.drop()

    @property
    def loading(self) -> bool:
        """There are ready messages, but the first of them is being read from the store or still to be found."""
        return (self.backlog.count > 0 or self.returning > 0) and self._front() is None

    def _front(self) -> Message | None:
        """The message that is to go next, if it can go now."""
        if self.expiry.behind:
            return None
        message = self.backlog.head()
        return None if message is not None and self.returning and not message.redelivered else message

    def when_loaded(self, call: Callable[[], None]) -> None:
        """Call once there are messages in memory again; at once if the queue is deleted before."""
        self._waiting.append(call)

    # ---- consumers

    def add(self, consumer: Consumer) -> None:
        self.consumers.append(consumer)
        self.exclusive_consumer = consumer.exclusive
        self.offer(consumer)

    def offer(self, consumer: Consumer) -> None:
        """The consumer takes its place in the ring, unless another one is the single active one."""
        if not self.single_active or self.consumers[0] is consumer:
            self.ring.offer(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Cancelled by whoever; the queue goes too if it is auto-delete and this was its last one.

        If not, dispatch is to follow, once what its channel gives back is in its old place: another may be active now.
        """
        consumer.cancelled = True
        was_active = self.single_active and self.consumers[0] is consumer
        self.consumers.remove(consumer)
        if consumer.exclusive:
            self.exclusive_consumer = False
        if not self.consumers:
            self.disuse.used()
        elif was_active:
            self._hand_over()
        if self.auto_delete and not self.consumers and not self.deleted:
            self.vhost.delete_queue(self)

    def _hand_over(self) -> None:
        """The single active consumer is gone: next is the longest waiting one of the highest priority."""
        heir = max(self.consumers, key=lambda consumer: consumer.priority)
        self.consumers.remove(heir)
        self.consumers.insert(0, heir)
        self.offer(heir)

    def resume(self, consumer: Consumer) -> None:
        """The consumer has room again."""
        if not consumer.in_ring and not consumer.cancelled:
            self.offer(consumer)
            self.dispatch()

    # ---- whole queue

    @property
    def ready(self) -> int:
        if self.expires_any:
            self.expiry.run()
        return self.backlog.count

    def purge(self, done: Callable[[int], None]) -> None:
        """Drop every ready message; unacknowledged ones stay. `done` is told how many there were."""
        count = self.ready
        self.flow.release()
        parts = self.backlog.purge()
        notices = self.vhost.commons.notices
        if notices is not None:
            notices.purged(self, count, parts)
        Leaving(self, parts, lambda: done(count)).go()

    def forget(self) -> None:
        """The queue is deleted, its stored messages with it; publishers that wait for others are told now."""
        self.flow.release()
        self.expiry.end()
        self.disuse.end()
        waiting = self._waiting
        self._waiting = []
        for call in waiting:
            call()
        Leaving(self, [level.clear() for level in self.backlog.levels()], lambda: None).go()
