"""The node itself over HTTP: who asks, what listens, is it well; its virtual hosts and connections, and ending one.

RabbitMQ's paths, fields and statuses for a cluster of one. `Node` is filled in by server/http.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from leveret import __version__
from leveret.broker.peer import Peer
from leveret.broker.users import ADMINISTRATOR
from leveret.management import views
from leveret.management.acting import confirming
from leveret.management.calls import Call, Table, refusing_openly, reply
from leveret.management.endpoints import Refused
from leveret.management.lists import listed
from leveret.wire.events import Address
from leveret.wire.frames import header_payload
from leveret.wire.values import encode_shortstr

ALIVENESS_QUEUE: Final = "aliveness-test"
CLOSED_HERE: Final = "Closed via management plugin"
PROTOCOLS: Final = {"amqp091": "amqp", "amqp0.9.1": "amqp", "tls": "amqp/ssl", "amqps": "amqp/ssl"}
"""Other names under which a protocol may be asked for."""


@dataclass(frozen=True, slots=True)
class Listener:
    protocol: str
    host: str
    port: int

    def view(self) -> views.View:
        return {"node": views.NODE, "protocol": self.protocol, "ip_address": self.host, "port": self.port}


@dataclass(slots=True)
class Node:
    started_at_ms: int = 0
    listeners: list[Listener] = field(default_factory=list)
    files_max: Callable[[], int] = lambda: 0

    def view(self, call: Call) -> views.View:
        alarms = call.broker.alarms
        return {
            "name": views.NODE,
            "type": "disc",
            "running": True,
            "os_pid": str(os.getpid()),
            "uptime": max(0, time.time_ns() // 1_000_000 - self.started_at_ms),
            "processors": os.cpu_count() or 1,
            "fd_total": self.files_max(),
            "sockets_used": len(call.broker.peers),
            "mem_used": alarms.memory_used,
            "mem_limit": alarms.memory_limit,
            "mem_alarm": alarms.memory,
            "disk_free": alarms.disk_free,
            "disk_free_limit": alarms.disk_limit,
            "disk_free_alarm": alarms.disk,
            "applications": [{"name": "leveret", "description": "Leveret", "version": __version__}],
            "cluster_links": [],
        }


def node_table(node: Node) -> Table:
    """The actions that need to know the node."""

    def all_nodes(call: Call) -> list[views.View]:
        if not call.sees_all:
            raise Refused(401, "not_authorised", "Not monitor user")
        return [node.view(call)]

    def only(call: Call) -> views.View:
        if call.names[0] != views.NODE:
            raise KeyError(call.names[0])
        return all_nodes(call)[0]

    def overview(call: Call) -> views.View:
        return {**views.overview(call.broker), "listeners": [one.view() for one in node.listeners]}

    return {
        "overview": {"GET": overview},
        "nodes": {"GET": all_nodes},
        "nodes/*": {"GET": only},
        "health/checks/port-listener/*": {"GET": lambda call: port_listener(node, call.names[0])},
        "health/checks/protocol-listener/*": {"GET": lambda call: protocol_listener(node, call.names[0])},
    }


# ---- health


def well(call: Call) -> views.View:
    return {"status": "ok"}


def without_alarms(call: Call) -> Any:
    alarms = call.broker.alarms
    if not alarms.on:
        return {"status": "ok"}
    sources = (("disk", alarms.disk), ("memory", alarms.memory))
    rows = [{"node": views.NODE, "resource": name} for name, on in sources if on]
    return reply({"status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": rows}, 503)


def single_node(call: Call) -> views.View:
    return {"status": "ok", "reason": "single node cluster"}


def port_listener(node: Node, text: str) -> Any:
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "bad_request", "Invalid port")
    ports = [one.port for one in node.listeners]
    if int(text) in ports:
        return {"status": "ok", "port": int(text)}
    return reply({"status": "failed", "reason": "No active listener", "missing": int(text), "ports": ports}, 503)


def protocol_listener(node: Node, name: str) -> Any:
    wanted = PROTOCOLS.get(name.lower(), name.lower())
    protocols = list(dict.fromkeys(one.protocol for one in node.listeners))
    if wanted in protocols:
        return {"status": "ok", "protocol": wanted}
    return reply({"status": "failed", "reason": "No active listener", "missing": name, "protocols": protocols}, 503)


async def aliveness(call: Call) -> views.View:
    """Declares a queue, publishes a message to it and takes it away again."""
    vhost = call.seen()
    peer, channel = confirming(call.user, vhost)
    with refusing_openly():
        queue = vhost.declare_queue(ALIVENESS_QUEUE, False, False, False, {}, peer)
    encoded = encode_shortstr("") + encode_shortstr(ALIVENESS_QUEUE)
    address = Address("", ALIVENESS_QUEUE, True, False, encoded)
    payload = b"test_message"
    header = header_payload(len(payload), b"\0\0")
    call.broker.routers[vhost.name].publish(channel, address, header, payload)
    taken = queue.get()
    if taken is not None:
        queue.acknowledge(taken)
    if taken is None or taken.body != payload or not await peer.confirmed():
        raise Refused(503, "failed", "the message did not come back")
    return {"status": "ok"}


# ---- connections


def connection_view(peer: Peer) -> views.View:
    return peer.view() | {"channels": len(peer.channels), "node": views.NODE}


def peer_named(call: Call) -> Peer:
    """KeyError if no connection has this name."""
    for peer in call.broker.peers.values():
        if peer.name == call.names[0]:
            if peer.user != call.user.name and ADMINISTRATOR not in call.user.tags:
                raise Refused(401, "not_authorised", "User not authorised to access object")
            return peer
    raise KeyError(call.names[0])


def delete_connection(call: Call) -> Response:
    peer_named(call).force_close(call.headers.get("x-reason") or CLOSED_HERE)
    return Response(status_code=204)


def get_channel(call: Call) -> views.View:
    for view in own(call, views.channels(call.broker)):
        if view["name"] == call.names[0]:
            return view
    raise KeyError(call.names[0])


def own(call: Call, rows: list[views.View]) -> list[views.View]:
    """Of connections and channels: a user without the tag for it sees its own."""
    return rows if call.sees_all else [row for row in rows if row["user"] == call.user.name]


def of_vhost(call: Call, rows: list[views.View]) -> Any:
    """Those in the virtual host that the path names."""
    name = call.seen().name
    return listed(call, own(call, [row for row in rows if row.get("vhost") == name]))


def list_consumers(call: Call) -> Any:
    rows = [
        views.consumer_view(consumer)
        for vhost in call.visible()
        for queue in vhost.queues.values()
        for consumer in queue.consumers
    ]
    return listed(call, rows)


def list_unacked(call: Call) -> Any:
    names = {vhost.name for vhost in call.visible()}
    return listed(call, [row for row in views.unacked(call.broker) if row["vhost"] in names])


TABLE: Table = {
    "cluster-name": {"GET": lambda call: {"name": views.NODE}},
    "vhosts/*/connections": {"GET": lambda call: of_vhost(call, views.connections(call.broker))},
    "vhosts/*/channels": {"GET": lambda call: of_vhost(call, views.channels(call.broker))},
    "connections": {"GET": lambda call: listed(call, own(call, views.connections(call.broker)))},
    "connections/*": {"GET": lambda call: connection_view(peer_named(call)), "DELETE": delete_connection},
    "connections/*/channels": {
        "GET": lambda call: listed(call, [views.channel_view(one) for one in peer_named(call).channels.values()])
    },
    "channels": {"GET": lambda call: listed(call, own(call, views.channels(call.broker)))},
    "channels/*": {"GET": get_channel},
    "consumers": {"GET": list_consumers},
    "consumers/*": {"GET": list_consumers},
    "unacked": {"GET": list_unacked},
    "aliveness-test/*": {"GET": aliveness},
    "health/checks/alarms": {"GET": without_alarms},
    "health/checks/local-alarms": {"GET": without_alarms},
    "health/checks/virtual-hosts": {"GET": well},
    "health/checks/node-is-mirror-sync-critical": {"GET": single_node},
    "health/checks/node-is-quorum-critical": {"GET": single_node},
    "healthchecks/node": {"GET": well},
}
