"""What the broker is doing, as dictionaries in RabbitMQ's field names. Reads the broker, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from leveret.broker.arguments import queue_type
from leveret.broker.broker import Broker
from leveret.broker.channel import Channel
from leveret.broker.consumer import Consumer
from leveret.broker.message import OVERHEAD_BYTES, Message
from leveret.broker.peer import Peer
from leveret.broker.policies import definition, policy_name
from leveret.broker.queue import Queue
from leveret.broker.vhost import VirtualHost
from leveret.errors import CodecError
from leveret.management import figures
from leveret.management.details import Details
from leveret.management.rows import as_json
from leveret.management.series import Series
from leveret.wire.properties import decode_properties

View = dict[str, Any]

NODE: Final = "leveret@localhost"


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def parted(flat: View, *apart: tuple[str, ...]) -> tuple[View, ...]:
    """Figures and their details: first those that are in none of the tuples, then those of each."""
    named = [{key for name in names for key in (name, name + "_details")} for names in apart]
    others = {key: value for key, value in flat.items() if not any(key in one for one in named)}
    return others, *({key: flat[key] for key in flat if key in one} for one in named)


def idle_since(series: Series | None, details: Details) -> View:
    """When a figure was found changed last, if that was not just now."""
    changed_at_ms = 0 if series is None else series.changed_at_ms
    return {"idle_since": moment(changed_at_ms)} if 0 < changed_at_ms < details.sampling.at_ms else {}


# ---- queues


def queue_basics(queue: Queue) -> View:
    """What does not change while it is used."""
    return {
        "name": queue.name,
        "vhost": queue.vhost.name,
        "type": queue_type(queue.arguments),
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.owner is not None,
        "arguments": as_json(queue.arguments),
        "node": NODE,
    }


def queue_bare(queue: Queue, totals: bool) -> View:
    """With `disable_stats`; `totals` with `enable_queue_totals`."""
    policy = members(queue) if queue.policy is None else {**members(queue), "policy": queue.policy.name}
    if not totals:
        return {**queue_basics(queue), **policy, "state": "live"}
    lengths = zip(figures.LENGTHS, figures.of_queue(queue), strict=False)
    return {**queue_basics(queue), **policy, "state": "running", **dict(lengths)}


def queue_view(queue: Queue, details: Details) -> View:
    ready = queue.ready  # what has expired is not
    series = details.sampling.of(queue)
    stats, lengths = parted(details.shown(figures.QUEUE, figures.of_queue(queue), series), figures.LENGTHS)
    owner = {} if queue.owner is None else {"owner_pid_details": connection_details(queue.owner)}
    alone = queue.consumers[0] if queue.consumers else None
    load = 0.0 if series is None or alone is None else series.load
    return {
        **queue_basics(queue),
        **lengths,
        **sizes(queue, ready),
        **owner,
        **(replicated(queue) if queue.counts_failures else {}),
        **idle_since(series, details),
        "state": "running",
        "policy": policy_name(queue.policy),
        "operator_policy": policy_name(queue.operator_policy),
        "effective_policy_definition": definition(queue),
        "consumers": len(queue.consumers),
        "consumer_capacity": load,
        "consumer_utilisation": load,
        "exclusive_consumer_tag": alone.tag if alone is not None and alone.exclusive else None,
        "single_active_consumer_tag": alone.tag if alone is not None and queue.single_active else None,
        "head_message_timestamp": head_timestamp(queue),
        "message_stats": stats,
    }


def replicated(queue: Queue) -> View:
    """What RabbitMQ tells of quorum queues besides; the one member is this node, and dead letters wait nowhere."""
    alone = queue.consumers[0].tag if queue.consumers and queue.single_active else None
    return {
        **members(queue),
        "leader": NODE,
        "messages_dlx": 0,
        "message_bytes_dlx": 0,
        "open_files": {NODE: 0},
        "single_active_consumer_ctag": alone,
    }


def members(queue: Queue) -> View:
    return {"members": [NODE], "online": [NODE]} if queue.counts_failures else {}


def sizes(queue: Queue, ready: int) -> View:
    """Where its messages are, and their octets; what is paged out is told with its headers."""
    backlog, unacked = queue.backlog, queue.unacked
    in_memory, octets = ready - backlog.paged, backlog.body_bytes + queue.unacked_bytes
    paged_bytes = min(backlog.body_bytes, sum(level.paged_bytes for level in backlog.levels()))
    return {
        "memory": (in_memory + unacked) * OVERHEAD_BYTES + octets - paged_bytes,
        "message_bytes": octets,
        "message_bytes_ready": backlog.body_bytes,
        "message_bytes_unacknowledged": queue.unacked_bytes,
        "message_bytes_ram": octets - paged_bytes,
        "message_bytes_paged_out": paged_bytes,
        "messages_ram": in_memory + unacked,
        "messages_ready_ram": in_memory,
        "messages_unacknowledged_ram": unacked,
        "messages_paged_out": backlog.paged,
    }


def head_timestamp(queue: Queue) -> int | None:
    """Of the first message, if it is in memory and has one."""
    for level in queue.backlog.levels():
        if level.window and not level.returned:
            return timestamp(level.window[0])
    return None


def timestamp(message: Message) -> int | None:
    try:
        at = decode_properties(message.header, 12).timestamp
    except CodecError:
        return None
    return at if isinstance(at, int) else None


def queue_detail(vhost: VirtualHost, name: str, details: Details) -> View:
    """One queue with its consumers; KeyError if there is none."""
    queue = vhost.queues[name]
    return {
        **queue_view(queue, details),
        "consumer_details": [consumer_view(consumer) for consumer in queue.consumers],
        # RabbitMQ's are filled where rates are counted by channel and exchange (`rates_mode` detailed).
        "deliveries": [],
        "incoming": [],
    }


# ---- connections, channels, consumers


def connection_view(peer: Peer, details: Details) -> View:
    octets = details.shown(figures.PEER, figures.of_peer(peer), details.sampling.of(peer))
    return {**peer.view(), **octets, "channels": len(peer.channels), "node": NODE}


def channels(broker: Broker) -> Iterator[Channel]:
    return (channel for peer in broker.peers.values() for channel in peer.channels.values())


def channel_name(channel: Channel) -> str:
    return f"{channel.peer.name} ({channel.number})"


def channel_view(channel: Channel, details: Details) -> View:
    peer, transaction, confirms = channel.peer, channel.transaction, channel.confirms
    series = details.sampling.of(channel)
    uncommitted = (0, 0) if transaction is None else (len(transaction.publishes), transaction.settled_count)
    return {
        "name": channel_name(channel),
        "number": channel.number,
        "vhost": channel.vhost.name,
        "user": peer.user,
        "user_who_performed_action": peer.user,
        "node": NODE,
        "state": "running",
        "confirm": confirms is not None,
        "transactional": transaction is not None,
        "consumer_count": len(channel.consumers),
        "messages_unacknowledged": channel.unacked.count,
        "messages_unconfirmed": 0 if confirms is None else confirms.outstanding,
        "messages_uncommitted": uncommitted[0],
        "acks_uncommitted": uncommitted[1],
        "pending_raft_commands": 0,
        "prefetch_count": channel.prefetch,
        "global_prefetch_count": channel.asked,
        "connection_details": connection_details(peer),
        "message_stats": details.shown(figures.CHANNEL, figures.of_channel(channel), series),
        **idle_since(series, details),
    }


def channel_detail(channel: Channel, details: Details) -> View:
    consumers = [consumer_view(consumer) for consumer in channel.consumers.values()]
    return {**channel_view(channel, details), "consumer_details": consumers, "deliveries": [], "publishes": []}


def connection_details(peer: Peer) -> View:
    return {"name": peer.name, **peer.place()}


def consumer_view(consumer: Consumer) -> View:
    queue, channel = consumer.queue, consumer.channel
    active = not queue.single_active or queue.consumers[0] is consumer
    return {
        "consumer_tag": consumer.tag,
        "queue": {"name": queue.name, "vhost": queue.vhost.name},
        "channel_details": {
            "name": channel_name(channel),
            "number": channel.number,
            "user": channel.peer.user,
            "connection_name": channel.peer.name,
            "node": NODE,
            **channel.peer.place(),
        },
        "ack_required": not consumer.no_ack,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "arguments": as_json(consumer.arguments),
        "active": active,
        "activity_status": "up" if not queue.single_active else "single_active" if active else "waiting",
        "messages_unacknowledged": consumer.unacked,
    }


# ---- who holds what


def unacked(broker: Broker, limit: int = 1000) -> list[View]:
    """Who holds which message and for how long, longest first; Leveret's own, RabbitMQ has no such list."""
    held = [
        held_view(broker, channel, message) for channel in channels(broker) for message in channel.unacked.oldest(limit)
    ]
    held.sort(key=lambda view: -float(view["held_ms"]))
    return held[:limit]


def held_view(broker: Broker, channel: Channel, message: Message) -> View:
    return {
        "queue": message.queue.name,
        "vhost": message.queue.vhost.name,
        "held_ms": max(0, broker.now - message.delivered_at),
        "delivery_tag": message.tag,
        "redelivered": message.redelivered,
        "channel": channel.number,
        "connection": channel.peer.name,
        "client": channel.peer.view().get("user_provided_name", ""),
        "consumer_tag": "" if message.consumer is None else message.consumer.tag,
        "body_bytes": message.body_bytes(),
    }
