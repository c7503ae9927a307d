"""What becomes of messages that a channel holds no more: acknowledged, given back, or discarded.

If they are very many, some of them in each turn of the loop; those whose turn has not come still count as
unacknowledged. Made by broker/channel, which has taken them out of its books.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.message import SLICE_MESSAGES, Message
from leveret.broker.notices import REQUEUED

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.consumer import Consumer
    from leveret.broker.deliveries import Block
    from leveret.broker.queue import Queue

ACK: Final = 0
REQUEUE: Final = 1  # it failed (basic.reject): a quorum queue counts that
RELEASE: Final = 2  # it was not worked on (basic.nack, basic.recover): not counted
DISCARD: Final = 3
AT_ONCE_MESSAGES: Final = 5 * SLICE_MESSAGES


class Settlement:
    """`why`: in words, for whoever keeps a history."""

    def __init__(self, channel: Channel, blocks: list[Block], what: int, why: str = "") -> None:
        self._channel: Final = channel
        self._why: Final = why or ("rejected" if what == REQUEUE else "nacked")
        # Both are taken from the end, so that each message is free as soon as it is settled.
        self._blocks: Final = blocks
        self._blocks.reverse()
        self._messages: list[Message] = []
        self._what: Final = what
        # The queues that were told that some of theirs may be on their way back.
        self._announced: list[Queue] = []

    def go(self) -> None:
        """Settle the first of them, and let whoever has room now have what is ready; the rest follows by itself."""
        self._go(SLICE_MESSAGES if self._what == DISCARD else AT_ONCE_MESSAGES)

    def all(self) -> None:
        """Settle them all now: they belong to a transaction."""
        self._go(sum(map(len, self._blocks)))

    def _go(self, most: int) -> None:
        queues, consumers = self.begin(most)
        self._channel.make_room(consumers)
        for queue in queues:
            queue.loaded()

    def begin(self, most: int = AT_ONCE_MESSAGES) -> tuple[list[Queue], list[Consumer]]:
        """Settle as many; the queues that have more to give than before, and the consumers who may have room now."""
        what, channel = self._what, self._channel
        counts = channel.vhost.past if channel.closed else channel.counts
        notices = channel.vhost.commons.notices
        queues: dict[int, Queue] = {}
        consumers: list[Consumer] = []
        for _ in range(most):
            if not self._messages and not self._next_block():
                break
            message = self._messages.pop()
            queue = message.queue
            queue.unacked -= 1
            queue.unacked_bytes -= message.body_bytes()
            consumer = message.consumer
            if consumer is not None:
                consumer.unacked -= 1
                if not consumer.in_ring:
                    consumers.append(consumer)
            if what == ACK:
                counts.acknowledged += 1
                queue.acknowledge(message)
                continue
            queues[queue.id] = queue
            if what == DISCARD:
                queue.discard(message)
            elif queue.give_back(message, what == REQUEUE) and notices is not None:
                notices.add(message, REQUEUED, self._why, self._channel.peer.name)
        if self._messages or self._next_block():
            self._announce()
            channel.vhost.commons.go_on(self.go)
        else:
            for queue in self._announced:
                queue.returning -= 1
                queues[queue.id] = queue
        return list(queues.values()), consumers

    def _next_block(self) -> bool:
        """Whether there was another one with anything in it."""
        while self._blocks and not self._messages:
            self._messages = list(self._blocks.pop().values())
            self._messages.reverse()
        return bool(self._messages)

    def _announce(self) -> None:
        """What comes later in a queue waits until all are back that it may have given to this channel."""
        if self._what in (REQUEUE, RELEASE) and not self._announced:
            self._announced = list(self._channel.sources)
            for queue in self._announced:
                queue.returning += 1
