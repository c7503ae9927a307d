"""What the broker is doing, as dictionaries in RabbitMQ's field names. Reads the broker, changes nothing."""

from __future__ import annotations

import os
from typing import Any

from leveret import __version__
from leveret.broker.broker import Broker
from leveret.broker.channel import Channel
from leveret.broker.consumer import Consumer
from leveret.broker.exchange_types import EXCHANGE_TYPES
from leveret.broker.message import Message
from leveret.broker.peer import Peer
from leveret.broker.policies import definition, policy_name
from leveret.broker.queue import Queue
from leveret.broker.vhost import VirtualHost
from leveret.management.rows import RABBITMQ_VERSION

View = dict[str, Any]

NODE = "leveret@localhost"


def overview(broker: Broker) -> View:
    queues = [queue for vhost in broker.vhosts.values() for queue in vhost.queues.values()]
    ready = sum(queue.ready for queue in queues)
    unacked = sum(queue.unacked for queue in queues)
    peers = list(broker.peers.values())
    return {
        "management_version": __version__,
        "product_name": "Leveret",
        "product_version": __version__,
        "rabbitmq_version": RABBITMQ_VERSION,
        "cluster_name": NODE,
        "node": NODE,
        "os_pid": os.getpid(),
        "exchange_types": [{"name": name, "description": "", "enabled": True} for name in EXCHANGE_TYPES],
        "queue_totals": {
            "messages": ready + unacked,
            "messages_ready": ready,
            "messages_unacknowledged": unacked,
        },
        "object_totals": {
            "connections": len(peers),
            "channels": sum(len(peer.channels) for peer in peers),
            "consumers": sum(len(queue.consumers) for queue in queues),
            "queues": len(queues),
            "exchanges": sum(len(vhost.exchanges) for vhost in broker.vhosts.values()),
        },
        "message_stats": {
            "publish": sum(queue.published for queue in queues),
            "deliver_get": sum(queue.delivered for queue in queues),
            "redeliver": sum(queue.redelivered for queue in queues),
            "ack": sum(queue.acknowledged for queue in queues),
        },
    }


def queues(vhost: VirtualHost) -> list[View]:
    return [queue_view(queue) for queue in vhost.queues.values()]


def queue_view(queue: Queue) -> View:
    ready = queue.ready
    return {
        "name": queue.name,
        "vhost": queue.vhost.name,
        "type": str(queue.arguments.get("x-queue-type", "classic")),
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.owner is not None,
        "arguments": queue.arguments,
        "node": NODE,
        "state": "running",
        "policy": policy_name(queue.policy),
        "operator_policy": policy_name(queue.operator_policy),
        "effective_policy_definition": definition(queue),
        "consumers": len(queue.consumers),
        "messages": ready + queue.unacked,
        "messages_ready": ready,
        "messages_unacknowledged": queue.unacked,
        "messages_ram": queue.backlog.count - queue.backlog.paged + queue.unacked,
        "messages_paged_out": queue.backlog.paged,
        "message_bytes_ready": queue.backlog.body_bytes,
        "message_stats": {
            "publish": queue.published,
            "deliver_get": queue.delivered,
            "redeliver": queue.redelivered,
            "ack": queue.acknowledged,
        },
    }


def queue_detail(vhost: VirtualHost, name: str) -> View:
    """One queue with its consumers; KeyError if there is none."""
    queue = vhost.queues[name]
    return {**queue_view(queue), "consumer_details": [consumer_view(consumer) for consumer in queue.consumers]}


def connections(broker: Broker) -> list[View]:
    return [peer.view() | {"channels": len(peer.channels), "node": NODE} for peer in broker.peers.values()]


def channels(broker: Broker) -> list[View]:
    return [channel_view(channel) for peer in broker.peers.values() for channel in peer.channels.values()]


def channel_view(channel: Channel) -> View:
    peer = channel.peer
    return {
        "name": f"{peer.name} ({channel.number})",
        "number": channel.number,
        "vhost": channel.vhost.name,
        "user": peer.user,
        "node": NODE,
        "state": "running",
        "confirm": channel.confirms is not None,
        "transactional": channel.transaction is not None,
        "consumer_count": len(channel.consumers),
        "messages_unacknowledged": channel.unacked.count,
        "messages_unconfirmed": 0 if channel.confirms is None else channel.confirms.outstanding,
        "prefetch_count": channel.prefetch,
        "global_prefetch_count": channel.asked,
        "connection_details": connection_details(peer),
    }


def connection_details(peer: Peer) -> View:
    view = peer.view()
    return {"name": peer.name, "peer_host": view.get("peer_host"), "peer_port": view.get("peer_port")}


def consumer_view(consumer: Consumer) -> View:
    queue, channel = consumer.queue, consumer.channel
    return {
        "consumer_tag": consumer.tag,
        "queue": {"name": queue.name, "vhost": queue.vhost.name},
        "channel_details": {
            "name": f"{channel.peer.name} ({channel.number})",
            "number": channel.number,
            "user": channel.peer.user,
            "connection_name": channel.peer.name,
        },
        "ack_required": not consumer.no_ack,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "arguments": consumer.arguments,
        "active": not queue.single_active or queue.consumers[0] is consumer,
        "messages_unacknowledged": consumer.unacked,
    }


def unacked(broker: Broker, limit: int = 1000) -> list[View]:
    """Who holds which message and for how long, longest first; Leveret's own, RabbitMQ has no such list."""
    held = [
        held_view(broker, channel, message)
        for peer in broker.peers.values()
        for channel in peer.channels.values()
        for message in channel.unacked.oldest(limit)
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
