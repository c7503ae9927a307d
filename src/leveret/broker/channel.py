"""A channel as the broker sees it: what was delivered on it and not yet acknowledged, its limits and its confirms.

Delivery tags belong to the channel; an ack on another one is an unknown tag here. The state of the protocol is
wire/channel's, frames are server/session's; this is only the books.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.confirms import Confirms
from leveret.broker.consumer import NEVER_MS, Consumer
from leveret.broker.message import Message
from leveret.broker.transaction import ACK, DISCARD, RELEASE, REQUEUE, Transaction
from leveret.errors import ChannelError

if TYPE_CHECKING:
    from leveret.broker.peer import Peer
    from leveret.broker.queue import Queue
    from leveret.broker.replies import ReplyConsumer
    from leveret.broker.timers import Timer
    from leveret.broker.vhost import VirtualHost


class Channel:
    def __init__(self, number: int, peer: Peer, vhost: VirtualHost) -> None:
        self.number: Final = number
        self.peer: Final = peer
        self.vhost: Final = vhost
        self._clock: Final = vhost.clock
        self.consumers: dict[str, Consumer] = {}
        self.last_queue: str = ""
        # basic.qos: `prefetch` for consumers to come (global=false), `limit` for the whole channel (global=true).
        self.prefetch: int = 0
        self.limit: int = 0
        self.waiting: list[Consumer] = []
        # Deliveries by tag, in order. No tag below `lowest` is in it.
        self.unacked: dict[int, Message] = {}
        self.last_tag: int = 0
        self.lowest: int = 1
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.replies: ReplyConsumer | None = None
        self.closed: bool = False
        # Acknowledgement timeout: the shortest that a timer is set for, in ms, and that timer.
        self.watched_ms: int = NEVER_MS
        self._deadline: Timer | None = None
        self.timed_out: bool = False

    # ---- deliveries

    def hand_out(self, message: Message, consumer: Consumer) -> int:
        """Give the message to a consumer of this channel; its delivery tag."""
        self.last_tag += 1
        tag = self.last_tag
        if not consumer.no_ack:
            message.consumer = consumer
            message.delivered_at = self._clock.now
            message.queue.unacked += 1
            consumer.unacked += 1
            message.tag = tag
            self.unacked[tag] = message
            if consumer.timeout_ms < self.watched_ms:
                self._watch(consumer.timeout_ms, consumer.timeout_ms)
        return tag

    def hold(self, message: Message) -> int:
        """A message taken by basic.get, to be acknowledged; its delivery tag."""
        self.last_tag += 1
        message.delivered_at = self._clock.now
        message.queue.unacked += 1
        message.tag = self.last_tag
        self.unacked[self.last_tag] = message
        timeout_ms = timeout_of(message)
        if timeout_ms < self.watched_ms:
            self._watch(timeout_ms, timeout_ms)
        return self.last_tag

    def next_tag(self) -> int:
        self.last_tag += 1
        return self.last_tag

    # ---- ack, reject, nack, recover

    def ack(self, tag: int, multiple: bool) -> None:
        """Delete the message of `tag`, with `multiple` all up to it (0: all). An unknown tag is a channel error."""
        if self.transaction is not None:
            self.transaction.settled.append((self._take(tag, multiple), ACK))
            return
        if multiple:
            self._acknowledge(self._take_to(tag))
            return
        found = self.unacked.pop(tag, None)
        if found is None:
            raise unknown_tag(tag)
        consumer = self._release(found)
        found.queue.acknowledge(found)
        if consumer is not None and not consumer.in_ring:
            found.queue.resume(consumer)
        if self.waiting:
            self._make_room([])

    def _acknowledge(self, taken: list[Message]) -> None:
        for message in taken:
            self._release(message)
            message.queue.acknowledge(message)
        self._make_room([message.consumer for message in taken])

    def reject(self, tag: int, requeue: bool) -> None:
        """basic.reject: the message of `tag` failed; give it back or drop it."""
        self._settle(self._take(tag, False), REQUEUE if requeue else DISCARD)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        """basic.nack: give back or drop the message of `tag`; with `multiple` as in `ack`."""
        self._settle(self._take(tag, multiple), RELEASE if requeue else DISCARD)

    def _settle(self, messages: list[Message], what: int) -> None:
        if self.transaction is not None:
            self.transaction.settled.append((messages, what))
        else:
            self._return(messages, what)

    def _take(self, tag: int, multiple: bool) -> list[Message]:
        if multiple:
            return self._take_to(tag)
        found = self.unacked.pop(tag, None)
        if found is None:
            raise unknown_tag(tag)
        return [found]

    def recover(self) -> None:
        """Give back everything that is unacknowledged."""
        self._return(self._take_to(0), RELEASE)

    def _take_to(self, tag: int) -> list[Message]:
        """Take out the messages up to `tag`. Every tag is passed once in a channel's life, so this is amortised O(1)."""
        unacked = self.unacked
        if tag == 0:
            taken = list(unacked.values())
            unacked.clear()
            self.lowest = self.last_tag + 1
            return taken
        if tag not in unacked:
            raise unknown_tag(tag)
        taken = []
        for number in range(self.lowest, tag + 1):
            message = unacked.pop(number, None)
            if message is not None:
                taken.append(message)
        self.lowest = tag + 1
        return taken

    def _release(self, message: Message) -> Consumer | None:
        """The message is no longer held; its consumer, who may have room now."""
        message.queue.unacked -= 1
        consumer = message.consumer
        if consumer is not None:
            consumer.unacked -= 1
        return consumer

    def _return(self, messages: list[Message], what: int) -> None:
        queues: dict[int, Queue] = {}
        consumers: list[Consumer | None] = []
        for message in messages:
            consumers.append(self._release(message))
            queue = message.queue
            queues[queue.id] = queue
            if what == DISCARD:
                queue.discard(message)
            else:
                queue.give_back(message, what == REQUEUE)
        self._make_room(consumers)
        for queue in queues.values():
            if not queue.deleted:
                queue.dispatch()

    def _make_room(self, consumers: list[Consumer | None]) -> None:
        """After acks: `consumers`, and those that waited for the channel's limit, get their turn if they have room."""
        for consumer in consumers:
            if consumer is not None and not consumer.in_ring:
                consumer.queue.resume(consumer)
        if not self.waiting:
            return
        waiting = self.waiting
        self.waiting = []
        while waiting and not (self.limit and len(self.unacked) >= self.limit):
            first = waiting.pop(0)
            first.waits = False
            first.queue.resume(first)
        self.waiting.extend(waiting)

    # ---- acknowledgement timeout: one timer a channel, which looks at the oldest deliveries only

    def _watch(self, timeout_ms: int, wait_ms: int) -> None:
        """Look in `wait_ms` for what was delivered `timeout_ms` ago, instead of when it was meant before."""
        self._watch_no_more()
        self.watched_ms = timeout_ms
        self._deadline = self.vhost.timers.add(self._clock.now + wait_ms, self._check_timeouts)

    def _watch_no_more(self) -> None:
        self.watched_ms = NEVER_MS
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _check_timeouts(self) -> None:
        """Close the channel if a delivery was not acknowledged in time; else look again when the next one may be due."""
        shortest_ms = self.watched_ms
        self._watch_no_more()
        now = self._clock.now
        wait_ms = shortest_ms
        for message in self.unacked.values():
            if message.delivered_at + shortest_ms > now:
                wait_ms = message.delivered_at + shortest_ms - now
                break
            timeout_ms = timeout_of(message)
            if message.delivered_at + timeout_ms <= now:
                self.timed_out = True
                self.peer.close_channel(self.number, too_late(self.number, timeout_ms))
                return
        if self.unacked:
            self._watch(shortest_ms, wait_ms)

    # ---- transactions

    def commit_settled(self) -> None:
        """What was acknowledged or rejected in the transaction happens now."""
        if self.transaction is not None:
            for messages, what in self.transaction.take_settled():
                if what == ACK:
                    self._acknowledge(messages)
                else:
                    self._return(messages, what)

    def roll_back(self) -> None:
        """Nothing in the transaction happened: its messages are unacknowledged again, under their old tags."""
        if self.transaction is None:
            return
        self.transaction.take_publishes()
        for messages, _ in self.transaction.take_settled():
            for message in messages:
                self.unacked[message.tag] = message
                self.lowest = min(self.lowest, message.tag)
        self.unacked = dict(sorted(self.unacked.items(), key=_tag))

    # ---- life

    def limit_changed(self, limit: int) -> None:
        """basic.qos with global=true; a higher limit lets waiting messages out."""
        self.limit = limit
        self._make_room([])

    def cancel_all(self) -> None:
        """The first half of closing: no consumer of this channel gets anything any more."""
        self.closed = True
        self._watch_no_more()
        for consumer in list(self.consumers.values()):
            consumer.queue.remove(consumer)
        self.consumers.clear()
        if self.replies is not None:
            self.replies.cancel()

    def give_back_all(self) -> list[Queue]:
        """The second half: every unacknowledged message is ready again; the queues to dispatch."""
        self.roll_back()
        queues: dict[int, Queue] = {}
        for message in self._take_to(0):
            self._release(message)
            queue = message.queue
            queue.give_back(message, not self.timed_out)
            queues[queue.id] = queue
        self.confirms = None  # these two point back: without them the channel is freed as soon as nobody needs it
        self.transaction = None
        return list(queues.values())

    def close(self) -> None:
        self.cancel_all()
        for queue in self.give_back_all():
            if not queue.deleted:
                queue.dispatch()


def _tag(item: tuple[int, Message]) -> int:
    return item[0]


def timeout_of(message: Message) -> int:
    """In ms. A message taken by basic.get has no consumer."""
    consumer = message.consumer
    return (message.queue.consumer_timeout_ms or NEVER_MS) if consumer is None else consumer.timeout_ms


def too_late(channel: int, timeout_ms: int) -> ChannelError:
    text = (
        f"delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout_ms} ms. "
        "This timeout value can be configured, see consumers doc guide to learn more"
    )
    return ChannelError(406, f"PRECONDITION_FAILED - {text}")


def unknown_tag(tag: int) -> ChannelError:
    return ChannelError(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}")
