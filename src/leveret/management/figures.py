"""The figures of queues, channels, exchanges, connections, virtual hosts and the whole, by RabbitMQ's names, as they are now.

Each kind has a tuple of names and a function that gives the numbers in that order. Reads the broker, changes nothing.
Used by management/sampling, the views and management/metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from leveret.broker.broker import Broker
from leveret.broker.channel import Channel
from leveret.broker.counts import Counts
from leveret.broker.exchange import Exchange
from leveret.broker.peer import Peer
from leveret.broker.queue import Queue
from leveret.broker.vhost import VirtualHost

Figures = tuple[int, ...]

LENGTHS: Final = ("messages", "messages_ready", "messages_unacknowledged")
IN: Final = ("publish", "confirm", "return_unroutable", "drop_unroutable")
OUT: Final = ("deliver_get", "deliver", "deliver_no_ack", "get", "get_no_ack", "get_empty", "redeliver", "ack")
DISK: Final = ("disk_reads", "disk_writes")
OCTETS: Final = ("recv_oct", "send_oct")
CHURN: Final = (
    *("connection_created", "connection_closed", "channel_created", "channel_closed"),
    *("queue_declared", "queue_created", "queue_deleted"),
)
QUEUE: Final = (*LENGTHS, "publish", *OUT, *DISK)
CHANNEL: Final = (*IN, *OUT)
EXCHANGE: Final = ("publish_in", "publish_out")
PEER: Final = OCTETS
VHOST: Final = (*LENGTHS, *CHANNEL, *DISK, *OCTETS)
TOTAL: Final = (*VHOST, *CHURN)

SLICE_OBJECTS: Final = 100


def of_queue(queue: Queue) -> Figures:
    """Looking at a queue that has messages with a time to live does not make them expire here."""
    ready, unacked, delivered, counts = queue.backlog.count, queue.unacked, queue.delivered, queue.counts
    acked = delivered - counts.no_ack - counts.got - counts.got_no_ack
    return (
        *(ready + unacked, ready, unacked, queue.published),
        *(delivered, acked, counts.no_ack, counts.got, counts.got_no_ack, counts.got_empty),
        *(counts.redelivered, queue.acknowledged, counts.read, counts.written),
    )


def of_channel(channel: Channel) -> Figures:
    return of_counts(channel.counted())


def of_counts(counts: Counts) -> Figures:
    """As CHANNEL names them."""
    acked = counts.delivered - counts.no_ack - counts.got - counts.got_no_ack
    return (
        *(counts.published, counts.confirmed, counts.returned, counts.dropped),
        *(counts.delivered, acked, counts.no_ack, counts.got, counts.got_no_ack, counts.got_empty),
        *(counts.redelivered, counts.acknowledged),
    )


def of_exchange(exchange: Exchange) -> Figures:
    return exchange.published_in, exchange.published_out


def of_peer(peer: Peer) -> Figures:
    return peer.traffic()[:2]


def of_churn(broker: Broker) -> Figures:
    churn = broker.commons.churn
    return (
        *(churn.connections_created, churn.connections_closed, churn.channels_created, churn.channels_closed),
        *(churn.queues_declared, churn.queues_created, churn.queues_deleted),
    )


class Sums:
    """Of a virtual host, or of all: added up bit by bit, as there may be very many of what is added."""

    def __init__(self) -> None:
        self.ready = self.unacked = 0
        self.counts: Final = Counts()
        self.traffic: Final = [0, 0, 0, 0]
        """As Peer.traffic tells it."""

    def figures(self) -> Figures:
        """As VHOST names them."""
        lengths = (self.ready + self.unacked, self.ready, self.unacked)
        return (*lengths, *of_counts(self.counts), self.counts.read, self.counts.written, *self.traffic[:2])

    def add(self, other: Sums) -> None:
        self.ready += other.ready
        self.unacked += other.unacked
        self.counts.add(other.counts)
        self._traffic(other.traffic)

    def everything(self, broker: Broker) -> Iterator[None]:
        self.gone(broker)
        for vhost in list(broker.vhosts.values()):
            yield from self.vhost(vhost)

    def gone(self, broker: Broker) -> None:
        """Of virtual hosts that are deleted."""
        self.counts.add(broker.commons.churn.past)
        self._traffic(broker.commons.churn.past_traffic)

    def vhost(self, vhost: VirtualHost) -> Iterator[None]:
        """All that is in it, and what was."""
        self.counts.add(vhost.past)
        self._traffic(vhost.past_traffic)
        for number, queue in enumerate(list(vhost.queues.values())):
            self.queue(queue)
            if number % SLICE_OBJECTS == 0:
                yield
        for number, peer in enumerate(list(vhost.peers.values())):
            self.peer(peer)
            if number % SLICE_OBJECTS == 0:
                yield

    def queue(self, queue: Queue) -> None:
        self.ready += queue.backlog.count
        self.unacked += queue.unacked
        self.counts.read += queue.counts.read
        self.counts.written += queue.counts.written

    def peer(self, peer: Peer) -> None:
        self._traffic(peer.traffic())
        for channel in peer.channels.values():
            self.counts.add(channel.counted())

    def _traffic(self, counts: Iterable[int]) -> None:
        for number, count in enumerate(counts):
            self.traffic[number] += count
