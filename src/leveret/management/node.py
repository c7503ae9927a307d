"""The whole over HTTP: overview, the one node there is, and what RabbitMQ says of a cluster and its extensions."""

from __future__ import annotations

import os
import resource
import threading
import time
from typing import Any, Final

from starlette.responses import Response

from leveret import __version__
from leveret.broker.exchange_types import EXCHANGE_TYPES
from leveret.broker.users import ADMINISTRATOR
from leveret.management import figures, process
from leveret.management.about import Node
from leveret.management.calls import Call, Table
from leveret.management.endpoints import Refused
from leveret.management.lists import unpaged_rows
from leveret.management.rows import RABBITMQ_VERSION
from leveret.management.views import NODE, View, parted

TYPE_TEXTS: Final = {
    "direct": "AMQP direct exchange, as per the AMQP specification",
    "fanout": "AMQP fanout exchange, as per the AMQP specification",
    "headers": "AMQP headers exchange, as per the AMQP specification",
    "topic": "AMQP topic exchange, as per the AMQP specification",
    "x-consistent-hash": "Consistent Hashing Exchange",
    "x-delayed-message": "Delayed Message Exchange",
}
MECHANISM_TEXTS: Final = {
    "PLAIN": "SASL PLAIN authentication mechanism",
    "AMQPLAIN": "QPid AMQPLAIN mechanism",
    "EXTERNAL": "TLS peer verification-based authentication plugin. Requires the client's certificate",
}
FLAGS: Final = {
    "drop_unroutable_metric": "Count unroutable publishes to be dropped in stats",
    "empty_basic_get_metric": "Count AMQP `basic.get` on empty queues in stats",
    "implicit_default_bindings": "Default bindings are now implicit, instead of being stored in the database",
    "quorum_queue": "Support queues of type `quorum`",
    "user_limits": "Configure connection and channel limits for a user",
    "virtual_host_metadata": "Virtual host metadata (description, tags, etc)",
}
"""Of RabbitMQ's feature flags those that hold here."""
RETENTION: Final = {"global": [600, 86_400], "basic": [600, 3_600], "detailed": [600]}
"""Seconds for which samples are kept: every one, and one a minute."""


def exchange_types() -> list[View]:
    return [{"name": name, "description": TYPE_TEXTS[name], "enabled": True} for name in EXCHANGE_TYPES]


# ---- overview


async def overview(call: Call, node: Node) -> View:
    """Of what the user may see: RabbitMQ tells of the node and of all virtual hosts those alone who have the tag for it."""
    sums = await summed(call)
    series = call.sampling.total if call.sees_all else None
    churn = figures.of_churn(call.broker)
    flat = call.details().shown(figures.TOTAL, (*sums.figures(), *churn), series)
    stats, lengths, churned, _ = parted(flat, figures.LENGTHS, figures.CHURN, figures.OCTETS)
    shown = {**product(), "message_stats": stats, "queue_totals": lengths, "object_totals": objects(call)}
    if not call.sees_all:
        return shown
    return {
        **shown,
        "churn_rates": churned,
        "node": NODE,
        "os_pid": os.getpid(),
        "statistics_db_event_queue": 0,
        "listeners": [one.view() for one in node.listeners],
        "contexts": [one.context() for one in node.listeners if one.is_http],
    }


def product() -> View:
    return {
        "management_version": __version__,
        "product_name": "Leveret",
        "product_version": __version__,
        "rabbitmq_version": RABBITMQ_VERSION,
        "cluster_name": NODE,
        "rates_mode": "basic",
        "sample_retention_policies": RETENTION,
        "exchange_types": exchange_types(),
        "release_series_support_status": "supported",
        "disable_stats": False,
        "enable_queue_totals": False,
    }


async def summed(call: Call) -> figures.Sums:
    sums = figures.Sums()
    if call.sees_all:
        await call.sliced(sums.everything(call.broker))
        return sums
    for vhost in call.visible():
        await call.sliced(sums.vhost(vhost))
    return sums


def objects(call: Call) -> View:
    vhosts = call.visible()
    peers = [one for one in call.broker.peers.values() if call.sees_all or one.user == call.user.name]
    return {
        "connections": len(peers),
        "channels": sum(len(peer.channels) for peer in peers),
        "consumers": sum(len(queue.consumers) for vhost in vhosts for queue in vhost.queues.values()),
        "queues": sum(len(vhost.queues) for vhost in vhosts),
        "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
    }


# ---- the node


def node_view(call: Call, node: Node) -> View:
    details = call.details("node_stats")
    churn = details.shown(figures.CHURN, figures.of_churn(call.broker), None)
    times = dict(zip(process.TIMES, process.times(call.broker), strict=True))
    return {
        **standing(call, node),
        **details.shown(process.NAMES, process.figures(call.broker), call.sampling.node),
        **times,
        **{f"{name}_details": {"rate": 0.0} for name in times},
        **churn,
    }


def standing(call: Call, node: Node) -> View:
    """What does not change, or is set by others."""
    alarms = call.broker.alarms
    return {
        "name": NODE,
        "type": "disc",
        "running": True,
        "partitions": [],
        "cluster_links": [],
        "os_pid": str(os.getpid()),
        "uptime": max(0, time.time_ns() // 1_000_000 - node.started_at_ms),
        "processors": os.cpu_count() or 1,
        "run_queue": 0,
        "fd_total": node.files_max(),
        "sockets_total": node.sockets_max,
        "proc_total": resource.getrlimit(resource.RLIMIT_NPROC)[0],
        "mem_limit": alarms.memory_limit,
        "mem_alarm": alarms.memory,
        "mem_calculation_strategy": "rss",
        "disk_free_limit": alarms.disk_limit,
        "disk_free_alarm": alarms.disk,
        "rates_mode": "basic",
        "exchange_types": exchange_types(),
        "auth_mechanisms": [
            {"name": name, "description": MECHANISM_TEXTS[name], "enabled": True} for name in node.mechanisms
        ],
        "applications": [{"name": "leveret", "description": "Leveret", "version": __version__}],
        "contexts": [one.context() for one in node.listeners if one.is_http],
        "log_files": ["<stderr>"],
        "db_dir": node.directory,
        "config_files": node.config_files,
        "enabled_plugins": [],
    }


def memory_view(call: Call) -> View:
    used = call.broker.alarms.memory_used
    return {
        "memory": {"total": {"rss": used, "allocated": used}, "strategy": "rss", "threads": threading.active_count()}
    }


def for_monitors(call: Call) -> None:
    if not call.sees_all:
        raise Refused(401, "not_authorised", "Not monitor user")


def named_node(call: Call) -> None:
    for_monitors(call)
    if call.names[0] != NODE:
        raise KeyError(call.names[0])


def node_table(node: Node) -> Table:
    """The actions that need to know the node."""

    def all_nodes(call: Call) -> Any:
        for_monitors(call)
        return unpaged_rows(call, [node_view(call, node)])

    def only(call: Call) -> View:
        named_node(call)
        return node_view(call, node)

    def memory(call: Call) -> View:
        named_node(call)
        return memory_view(call)

    return {
        "overview": {"GET": lambda call: overview(call, node)},
        "nodes": {"GET": all_nodes},
        "nodes/*": {"GET": only},
        "nodes/*/memory": {"GET": memory},
    }


# ---- what a cluster of one has to say


def feature_flags(call: Call) -> list[View]:
    for_monitors(call)
    return [
        {"name": name, "desc": text, "doc_url": "", "state": "enabled", "stability": "stable", "provided_by": "leveret"}
        for name, text in FLAGS.items()
    ]


def auth_attempts(call: Call) -> list[View]:
    named_node(call)
    churn = call.broker.commons.churn
    return [
        {
            "protocol": protocol,
            "auth_attempts": count,
            "auth_attempts_failed": churn.logins_failed.get(protocol, 0),
            "auth_attempts_succeeded": count - churn.logins_failed.get(protocol, 0),
        }
        for protocol, count in churn.logins.items()
    ]


def rebalance(call: Call) -> Response:
    """There is one node: everything is where it should be."""
    if ADMINISTRATOR not in call.user.tags:
        raise Refused(401, "not_authorised", "Not administrator user")
    return Response(status_code=204)


TABLE: Table = {
    "cluster-name": {"GET": lambda call: {"name": NODE}},
    "extensions": {"GET": lambda call: []},
    "feature-flags": {"GET": feature_flags},
    "auth": {"GET": lambda call: {"enable_uaa": False, "uaa_client_id": "", "uaa_location": ""}},
    "auth/attempts/*": {"GET": auth_attempts},
    "rebalance/queues": {"POST": rebalance},
}
