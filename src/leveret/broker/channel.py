"""A channel as the broker sees it: what was delivered on it and not yet acknowledged, its limits and its confirms.

Delivery tags belong to the channel; an ack on another one is an unknown tag here. The state of the protocol is
wire/channel's, frames are server/session's; this is only the books.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.confirms import Confirms
from leveret.broker.consumer import NEVER_MS, Consumer
from leveret.broker.counts import Counts
from leveret.broker.deliveries import Block, Deliveries
from leveret.broker.message import Message
from leveret.broker.settlement import ACK, DISCARD, RELEASE, REQUEUE, Settlement
from leveret.broker.transaction import Transaction
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
        # basic.qos: `prefetch` for consumers to come (global=false), `asked` for the whole channel (global=true). `limit` is
        # what holds for the channel: that, or what the broker allows.
        self.prefetch: int = 0
        self.asked: int = 0
        self.limit: int = vhost.commons.bounds.unacked
        self.waiting: list[Consumer] = []
        self.unacked: Final = Deliveries()
        self.counts: Final = Counts()
        # Every queue that any of them may be of, and maybe some more.
        self.sources: set[Queue] = set()
        self.last_tag: int = 0
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.replies: ReplyConsumer | None = None
        self.closed: bool = False
        # Replies on their way: `owing` come when something is on disk, `busy` is for one that takes its time otherwise.
        self.owing: int = 0
        self.busy: bool = False
        # It ends for another reason than that its client failed: what it held is not counted against a message.
        self.blameless: bool = False
        # Why what it held is given back, in words for whoever keeps a history.
        self.ending: str = "channel closed"
        # Acknowledgement timeout: the shortest that a timer is set for, in ms, and that timer.
        self.watched_ms: int = NEVER_MS
        self._deadline: Timer | None = None

    # ---- deliveries

    def reads(self, queue: Queue) -> None:
        """It is about to be given messages of this queue."""
        if not self.unacked.count and len(self.sources) > 2 * len(self.consumers) + 16:
            self.sources = {consumer.queue for consumer in self.consumers.values()}
        self.sources.add(queue)

    def hand_out(self, message: Message, consumer: Consumer) -> int:
        """Give the message to a consumer of this channel; its delivery tag."""
        self.last_tag += 1
        tag = self.last_tag
        if not consumer.no_ack:
            message.consumer = consumer
            message.delivered_at = self._clock.now
            queue = message.queue
            queue.unacked += 1
            queue.unacked_bytes += len(message.body)
            consumer.unacked += 1
            message.tag = tag
            self.unacked.put(tag, message)
            if consumer.timeout_ms < self.watched_ms:
                self._watch(consumer.timeout_ms, consumer.timeout_ms)
        else:
            self.counts.no_ack += 1
        return tag

    def hold(self, message: Message) -> int:
        """A message taken by basic.get, to be acknowledged; its delivery tag."""
        self.reads(message.queue)
        self.last_tag += 1
        message.delivered_at = self._clock.now
        message.queue.unacked += 1
        message.queue.unacked_bytes += len(message.body)
        message.tag = self.last_tag
        self.unacked.put(self.last_tag, message)
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
        if multiple or self.transaction is not None:
            self._settle(self._take(tag, multiple), ACK)
            return
        found = self.unacked.pop(tag)
        if found is None:
            raise unknown_tag(tag)
        queue = found.queue
        queue.unacked -= 1
        queue.unacked_bytes -= found.body_bytes()
        self.counts.acknowledged += 1
        consumer = found.consumer
        if consumer is not None:
            consumer.unacked -= 1
        queue.acknowledge(found)
        if consumer is not None and not consumer.in_ring:
            queue.resume(consumer)
        if self.waiting:
            self.make_room([])

    def reject(self, tag: int, requeue: bool) -> None:
        """basic.reject: the message of `tag` failed; give it back or drop it."""
        self._settle(self._take(tag, False), REQUEUE if requeue else DISCARD)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        """basic.nack: give back or drop the message of `tag`; with `multiple` as in `ack`."""
        self._settle(self._take(tag, multiple), RELEASE if requeue else DISCARD)

    def _settle(self, blocks: list[Block], what: int) -> None:
        if self.transaction is not None:
            self.transaction.settled.append((blocks, what))
        else:
            Settlement(self, blocks, what).go()

    def _take(self, tag: int, multiple: bool) -> list[Block]:
        if multiple:
            return self._take_to(tag)
        found = self.unacked.pop(tag)
        if found is None:
            raise unknown_tag(tag)
        return [{tag: found}]

    def recover(self) -> None:
        """Give back everything that is unacknowledged."""
        Settlement(self, self._take_to(0), RELEASE, "recovered").go()

    def _take_to(self, tag: int) -> list[Block]:
        if tag and tag not in self.unacked:
            raise unknown_tag(tag)
        return self.unacked.pop_to(tag)

    def make_room(self, consumers: list[Consumer]) -> None:
        """After acks: `consumers`, and those that waited for the channel's limit, get their turn if they have room."""
        for consumer in consumers:
            if not consumer.in_ring:
                consumer.queue.resume(consumer)
        if not self.waiting:
            return
        waiting = self.waiting
        self.waiting = []
        while waiting and not (self.limit and self.unacked.count >= self.limit):
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
        for block in self.unacked.blocks():
            for message in block.values():
                if message.delivered_at + shortest_ms > now:
                    self._watch(shortest_ms, message.delivered_at + shortest_ms - now)
                    return
                timeout_ms = timeout_of(message)
                if message.delivered_at + timeout_ms <= now:
                    self.blameless = True
                    self.ending = "not acknowledged in time"
                    self.peer.close_channel(self.number, too_late(self.number, timeout_ms))
                    return
        if self.unacked.count:
            self._watch(shortest_ms, shortest_ms)

    # ---- transactions

    def commit_settled(self) -> None:
        """What was acknowledged or rejected in the transaction happens now."""
        if self.transaction is not None:
            for blocks, what in self.transaction.take_settled():
                Settlement(self, blocks, what).all()

    def roll_back(self) -> None:
        """Nothing in the transaction happened: its messages are unacknowledged again, under their old tags."""
        if self.transaction is None:
            return
        self.transaction.take_publishes()
        for blocks, _ in self.transaction.take_settled():
            self.unacked.put_back(blocks)

    def counted(self) -> Counts:
        """Its counts, with those that follow from others."""
        self.counts.delivered = self.last_tag
        if self.confirms is not None:
            self.counts.confirmed = self.confirms.published - self.confirms.outstanding
        return self.counts

    # ---- life

    def limit_changed(self, limit: int) -> None:
        """basic.qos with global=true; a higher limit lets waiting messages out."""
        most = self.vhost.commons.bounds.unacked
        self.asked = limit
        self.limit = min(limit or most, most or limit)
        self.make_room([])

    def cancel_all(self) -> list[Queue]:
        """The first half of closing: no consumer of this channel gets anything any more; the queues they were on."""
        self.closed = True
        self.vhost.past.add(self.counted())
        self.vhost.commons.churn.channels_closed += 1
        self._watch_no_more()
        queues = [consumer.queue for consumer in self.consumers.values()]
        for consumer in list(self.consumers.values()):
            consumer.queue.remove(consumer)
        self.consumers.clear()
        if self.replies is not None:
            self.replies.cancel()
        return queues

    def give_back_all(self) -> list[Queue]:
        """The second half: every unacknowledged message is ready again; the queues to dispatch."""
        self.roll_back()
        settlement = Settlement(self, self._take_to(0), RELEASE if self.blameless else REQUEUE, self.ending)
        queues, _ = settlement.begin()
        self.confirms = None  # these two point back: without them the channel is freed as soon as nobody needs it
        self.transaction = None
        return queues

    def close(self) -> None:
        queues = self.cancel_all() + self.give_back_all()
        for queue in queues:
            if not queue.deleted:
                queue.dispatch()


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
