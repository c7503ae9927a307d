"""The families of figures that Prometheus reads, in the groups of rabbitmq_prometheus, and where their values come from.

A group is a tuple of families with rows of labels and values; rows come one by one, None among them gives others a turn.
Counters of what is gone stay in the sums, which so never fall. Reads the broker. Used by management/metrics.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from leveret import __version__
from leveret.broker.arguments import queue_type
from leveret.broker.broker import Broker
from leveret.broker.counts import Counts, counted
from leveret.broker.queue import Queue
from leveret.broker.vhost import VirtualHost
from leveret.management import figures, process
from leveret.management.about import Node
from leveret.management.family_names import (
    ALARMS,
    AUTH,
    CHANNEL,
    CHANNEL_COUNTS,
    CHURN,
    CONNECTION,
    CONSUMERS,
    DEAD,
    GLOBAL,
    GLOBAL_BY_TYPE,
    IDENTITY,
    NODE_FIGURES,
    PUBLISHED,
    QUEUE,
    QUEUE_LENGTHS,
    START,
    TOTALS,
    Family,
)
from leveret.management.rows import RABBITMQ_VERSION
from leveret.management.views import NODE, channel_name, sizes

__all__ = ["Family", "Rows", "detailed", "each", "identity", "summed"]

Labels = dict[str, str]
Values = tuple[float, ...]
Rows = Iterable[tuple[Labels, Values] | None]
Part = tuple[tuple[Family, ...], Rows]
Source = Callable[[Iterable[VirtualHost]], Rows]
PROTOCOL: Final = {"protocol": "amqp091"}
QUEUE_TYPES: Final = ("classic", "quorum")


class Group(NamedTuple):
    families: tuple[Family, ...]
    rows: Source


# ---- of each object


def of_queues(vhosts: Iterable[VirtualHost], values: Callable[[Queue], Values]) -> Rows:
    for vhost in vhosts:
        for queue in list(vhost.queues.values()):
            yield {"vhost": vhost.name, "queue": queue.name}, values(queue)


def lengths(queue: Queue) -> Values:
    ready, unacked = queue.backlog.count, queue.unacked
    return ready, unacked, ready + unacked


def queue_values(queue: Queue) -> Values:
    """As QUEUE names them."""
    size = sizes(queue, queue.backlog.count)
    free = float(bool(queue.ring)) if queue.consumers else 0
    return (
        *(len(queue.consumers), free, free, size["memory"], size["messages_ram"], size["message_bytes_ram"]),
        *(size["messages_ready_ram"], size["messages_unacknowledged_ram"]),
        *(size["message_bytes"], size["message_bytes_ready"], size["message_bytes_unacknowledged"]),
        *(size["messages_paged_out"], size["message_bytes_paged_out"], queue.counts.read, queue.counts.written),
    )


def published(vhosts: Iterable[VirtualHost]) -> Rows:
    for vhost in vhosts:
        for queue in list(vhost.queues.values()):
            yield {"queue_vhost": vhost.name, "queue": queue.name}, (queue.published,)


def of_channels(vhosts: Iterable[VirtualHost]) -> Rows:
    for vhost in vhosts:
        for peer in list(vhost.peers.values()):
            for channel in peer.channels.values():
                confirms, transaction = channel.confirms, channel.transaction
                unconfirmed = 0 if confirms is None else confirms.outstanding
                open_ = (0, 0) if transaction is None else (len(transaction.publishes), transaction.settled_count)
                held = (len(channel.consumers), channel.unacked.count, unconfirmed)
                yield {"channel": channel_name(channel)}, (*held, *open_, channel.prefetch, channel.asked)
            yield None


def channel_counts(vhosts: Iterable[VirtualHost]) -> Rows:
    for vhost in vhosts:
        for peer in list(vhost.peers.values()):
            for channel in peer.channels.values():
                values = picked(figures.of_channel(channel))
                yield {"channel": channel_name(channel), "vhost": vhost.name}, values
            yield None


def picked(counted: figures.Figures) -> Values:
    """Of a channel's figures, or of all channels', as CHANNEL_COUNTS names them."""
    of = dict(zip(figures.CHANNEL, counted, strict=True))
    return tuple(of[name] for name in CHANNEL_ORDER)


CHANNEL_ORDER: Final = (
    *("publish", "confirm", "return_unroutable", "drop_unroutable", "get", "get_no_ack"),
    *("deliver", "deliver_no_ack", "redeliver", "ack", "get_empty"),
)


def of_connections(vhosts: Iterable[VirtualHost]) -> Rows:
    for vhost in vhosts:
        for peer in list(vhost.peers.values()):
            pending: Any = peer.view().get("send_pend", 0)
            yield {"channel": peer.name}, (*peer.traffic(), pending, len(peer.channels))


# ---- of the whole


def churned(broker: Broker) -> Rows:
    yield {}, figures.of_churn(broker)


def node_values(broker: Broker, node: Node) -> Rows:
    alarms = broker.alarms
    of = dict(zip(process.NAMES, process.figures(broker), strict=True))
    io_s = [
        ms * count / 1000
        for ms, count in zip(process.times(broker), (0, of["io_write_count"], of["io_sync_count"], 0), strict=True)
    ]
    limits = (node.files_max(), node.sockets_max, alarms.memory_limit, alarms.disk_limit)
    yield (
        {},
        (
            *(of["fd_used"], of["sockets_used"], of["mem_used"], of["disk_free"], of["proc_used"], of["gc_num"]),
            *(of["gc_bytes_reclaimed"], of["context_switches"], *limits, resource.getrlimit(resource.RLIMIT_NPROC)[0]),
            *(0, (time.time() * 1000 - node.started_at_ms) / 1000),
            *(of[name] for name in process.NAMES if name.startswith(("io_", "mnesia", "msg_store"))),
            *(of["queue_index_read_count"], of["queue_index_write_count"], *io_s),
        ),
    )


def logins(broker: Broker) -> Rows:
    churn = broker.commons.churn
    for protocol in ("http", "amqp091"):
        tried, failed = churn.logins.get(protocol, 0), churn.logins_failed.get(protocol, 0)
        yield {"protocol": protocol}, (tried, tried - failed, failed)


def alarms(broker: Broker) -> Rows:
    yield {}, (0, int(broker.alarms.disk), int(broker.alarms.memory))


def identity(node: Node, endpoint: str) -> Iterator[Part]:
    """`endpoint`: by which of them the reader came; newer dashboards choose by it."""
    version = {"rabbitmq_version": RABBITMQ_VERSION, "prometheus_plugin_version": __version__}
    versions = {**version, "prometheus_client_version": "", "erlang_version": ""}
    names = {
        "rabbitmq_node": NODE,
        "rabbitmq_cluster": NODE,
        "rabbitmq_cluster_permanent_id": NODE,
        "rabbitmq_endpoint": endpoint,
    }
    yield IDENTITY[:1], [(versions, (1,))]
    yield IDENTITY[1:], [(names, (1,))]
    yield START, [({}, (node.started_at_ms // 1000,))]


def totals(broker: Broker) -> Values:
    """As TOTALS names them."""
    queues = [queue for vhost in broker.vhosts.values() for queue in vhost.queues.values()]
    channels = sum(len(peer.channels) for peer in broker.peers.values())
    return len(broker.peers), channels, sum(len(queue.consumers) for queue in queues), len(queues)


def global_values(broker: Broker, sums: figures.Sums) -> Values:
    """As GLOBAL names them."""
    counts = sums.counts
    unconfirmed = publishers = 0
    for peer in list(broker.peers.values()):
        for channel in peer.channels.values():
            publishers += int(channel.counts.published > 0)
            unconfirmed += 0 if channel.confirms is None else channel.confirms.outstanding
    routed = counts.published - counts.returned - counts.dropped
    consumers, confirmed = totals(broker)[2], counts.confirmed
    return (
        consumers,
        confirmed,
        confirmed + unconfirmed,
        counts.published,
        routed,
        counts.dropped,
        counts.returned,
        publishers,
    )


def by_type(broker: Broker) -> Rows:
    """As GLOBAL_BY_TYPE names them: of queues of each type, those that are gone included."""
    for kind in QUEUE_TYPES:
        counts = Counts()
        gone = broker.commons.churn.gone.get(kind)
        if gone is not None:
            counts.add(gone)
        for vhost in list(broker.vhosts.values()):
            for queue in list(vhost.queues.values()):
                if queue_type(queue.arguments) == kind:
                    counts.add(counted(queue))
                yield None
        acked = counts.delivered - counts.no_ack - counts.got - counts.got_no_ack
        yield (
            {**PROTOCOL, "queue_type": f"rabbit_{kind}_queue"},
            (
                *(counts.acknowledged, counts.no_ack, acked, counts.got_no_ack, counts.got),
                *(counts.delivered, counts.got_empty, counts.redelivered),
            ),
        )


def dead(broker: Broker, reason: str) -> Rows:
    for kind in QUEUE_TYPES:
        for strategy in ("at_most_once", "disabled"):
            count = broker.commons.churn.dead.get((kind, strategy, reason), 0)
            yield {"queue_type": f"rabbit_{kind}_queue", "dead_letter_strategy": strategy}, (count,)


# ---- what is asked for


def whole(broker: Broker, node: Node, endpoint: str) -> Iterator[Part]:
    """What both have, the summed and the other."""
    yield ALARMS, alarms(broker)
    yield CHURN, churned(broker)
    yield NODE_FIGURES, node_values(broker, node)
    yield TOTALS, [({}, totals(broker))]
    yield from identity(node, endpoint)
    sums = figures.Sums()
    for _ in sums.everything(broker):
        yield (), [None]
    yield GLOBAL, [(PROTOCOL, global_values(broker, sums))]
    yield GLOBAL_BY_TYPE, by_type(broker)
    for family, reason in DEAD:
        yield (family,), dead(broker, reason)


def of_each(broker: Broker, node: Node) -> dict[str, Group]:
    """By rabbitmq_prometheus' names for `/metrics/detailed`."""
    return {
        "connection_churn_metrics": Group(CHURN, lambda vhosts: churned(broker)),
        "node_metrics": Group(NODE_FIGURES, lambda vhosts: node_values(broker, node)),
        "auth_attempt_metrics": Group(AUTH, lambda vhosts: logins(broker)),
        "queue_coarse_metrics": Group(QUEUE_LENGTHS, lambda vhosts: of_queues(vhosts, lengths)),
        "queue_consumer_count": Group(CONSUMERS, lambda vhosts: of_queues(vhosts, lambda one: (len(one.consumers),))),
        "queue_metrics": Group(QUEUE, lambda vhosts: of_queues(vhosts, queue_values)),
        "channel_metrics": Group(CHANNEL, of_channels),
        "channel_exchange_metrics": Group(CHANNEL_COUNTS[:4], lambda vhosts: cut(channel_counts(vhosts), 0, 4)),
        "channel_queue_metrics": Group(CHANNEL_COUNTS[4:], lambda vhosts: cut(channel_counts(vhosts), 4, None)),
        "connection_coarse_metrics": Group(CONNECTION[:2], lambda vhosts: cut(of_connections(vhosts), 0, 2)),
        "connection_metrics": Group(CONNECTION[2:], lambda vhosts: cut(of_connections(vhosts), 2, None)),
        "channel_queue_exchange_metrics": Group(PUBLISHED, published),
    }


def cut(rows: Rows, first: int, last: int | None) -> Rows:
    """Some of the columns."""
    for row in rows:
        yield None if row is None else (row[0], row[1][first:last])


SAME: Final = frozenset(("connection_churn_metrics", "node_metrics", "queue_consumer_count"))
"""Those that `whole` or another group has too."""


def each(broker: Broker, node: Node) -> Iterator[Part]:
    yield from whole(broker, node, "per-object")
    vhosts = list(broker.vhosts.values())
    for name, group in of_each(broker, node).items():
        if name not in SAME:
            yield group.families, group.rows(vhosts)


def detailed(broker: Broker, node: Node, names: Iterable[str], vhosts: Sequence[str]) -> Iterator[Part]:
    known = of_each(broker, node)
    seen = [vhost for vhost in broker.vhosts.values() if not vhosts or vhost.name in vhosts]
    for name in dict.fromkeys(names):
        if name in known:
            yield known[name].families, known[name].rows(seen)


def summed(broker: Broker, node: Node) -> Iterator[Part]:
    yield from whole(broker, node, "aggregated")
    vhosts = list(broker.vhosts.values())
    yield AUTH, added(logins(broker), len(AUTH))
    yield QUEUE_LENGTHS, added(of_queues(vhosts, lengths), len(QUEUE_LENGTHS))
    gone = broker.commons.churn.gone.values()
    past = (*(0,) * (len(QUEUE) - 2), sum(one.read for one in gone), sum(one.written for one in gone))
    yield QUEUE, added(of_queues(vhosts, queue_values), len(QUEUE), past)
    yield PUBLISHED, added(published(vhosts), 1, (sum(one.published for one in gone),))
    yield CHANNEL, added(of_channels(vhosts), len(CHANNEL))
    sums = figures.Sums()
    for _ in sums.everything(broker):
        yield (), [None]
    yield CHANNEL_COUNTS, [({}, picked(figures.of_counts(sums.counts)))]
    yield CONNECTION, connections_added(vhosts, sums)


def added(rows: Rows, width: int, first: Values = ()) -> Rows:
    """One row, of their sums."""
    total = list(first) or [0] * width
    for row in rows:
        if row is not None:
            for number, value in enumerate(row[1]):
                total[number] += value
        yield None
    yield {}, tuple(total)


def connections_added(vhosts: Sequence[VirtualHost], sums: figures.Sums) -> Rows:
    """The traffic on closed connections is told too."""
    for row in added(of_connections(vhosts), len(CONNECTION)):
        yield None if row is None else (row[0], (*sums.traffic, *row[1][len(sums.traffic) :]))
