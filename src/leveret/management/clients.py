"""Connections, channels and consumers over HTTP: listed, shown and ended. And who holds which messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response

from leveret.broker.channel import Channel
from leveret.broker.peer import Peer
from leveret.broker.users import ADMINISTRATOR
from leveret.management import views
from leveret.management.calls import Call, Table
from leveret.management.endpoints import Refused
from leveret.management.lists import listed, unpaged, unpaged_rows

CLOSED_HERE: Final = "Closed via management plugin"


def may_see(call: Call, peer: Peer) -> bool:
    """A user without the tag for others' sees its own."""
    return call.sees_all or peer.user == call.user.name


def connections(call: Call, peers: Iterable[Peer]) -> Any:
    details = call.details()
    seen = [peer for peer in peers if may_see(call, peer)]
    return listed(call, seen, lambda peer: views.connection_view(peer, details), lambda peer: peer.name)


def channels(call: Call, found: Iterable[Channel]) -> Any:
    details = call.details()
    seen = [channel for channel in found if may_see(call, channel.peer)]
    return listed(call, seen, lambda channel: views.channel_view(channel, details), views.channel_name)


def peer_named(call: Call) -> Peer:
    """KeyError if no connection has this name."""
    for peer in call.broker.peers.values():
        if peer.name == call.names[0]:
            return peer
    raise KeyError(call.names[0])


def seen_peer(call: Call) -> Peer:
    peer = peer_named(call)
    if not may_see(call, peer):
        raise not_theirs()
    return peer


def not_theirs() -> Refused:
    return Refused(401, "not_authorised", "User not authorised to access object")


def get_connection(call: Call) -> views.View:
    return views.connection_view(seen_peer(call), call.details())


def delete_connection(call: Call) -> Response:
    peer = peer_named(call)
    if peer.user != call.user.name and ADMINISTRATOR not in call.user.tags:
        raise not_theirs()
    peer.force_close(call.headers.get("x-reason") or CLOSED_HERE)
    return Response(status_code=204)


def of_user(call: Call) -> list[Peer]:
    return [peer for peer in call.broker.peers.values() if peer.user == call.names[0] and may_see(call, peer)]


def list_of_user(call: Call) -> Any:
    return [
        {
            "name": peer.name,
            "vhost": "" if peer.vhost is None else peer.vhost.name,
            "user": peer.user,
            "node": views.NODE,
        }
        for peer in of_user(call)
    ]


def delete_of_user(call: Call) -> Response:
    if call.names[0] != call.user.name and ADMINISTRATOR not in call.user.tags:
        raise not_theirs()
    for peer in of_user(call):
        peer.force_close(call.headers.get("x-reason") or CLOSED_HERE)
    return Response(status_code=204)


def get_channel(call: Call) -> views.View:
    for channel in views.channels(call.broker):
        if views.channel_name(channel) == call.names[0]:
            if not may_see(call, channel.peer):
                raise not_theirs()
            return views.channel_detail(channel, call.details())
    raise KeyError(call.names[0])


def list_consumers(call: Call) -> Any:
    found = [one for vhost in call.visible() for queue in vhost.queues.values() for one in queue.consumers]
    return unpaged(call, found, views.consumer_view)


def list_unacked(call: Call) -> Any:
    names = {vhost.name for vhost in call.visible()}
    return unpaged_rows(call, [row for row in views.unacked(call.broker) if row["vhost"] in names])


TABLE: Table = {
    "vhosts/*/connections": {"GET": lambda call: connections(call, call.seen().peers.values())},
    "vhosts/*/channels": {
        "GET": lambda call: channels(
            call, [one for peer in call.seen().peers.values() for one in peer.channels.values()]
        )
    },
    "connections": {"GET": lambda call: connections(call, call.broker.peers.values())},
    "connections/username/*": {"GET": list_of_user, "DELETE": delete_of_user},
    "connections/*": {"GET": get_connection, "DELETE": delete_connection},
    "connections/*/channels": {"GET": lambda call: channels(call, seen_peer(call).channels.values())},
    "channels": {"GET": lambda call: channels(call, views.channels(call.broker))},
    "channels/*": {"GET": get_channel},
    "consumers": {"GET": list_consumers},
    "consumers/*": {"GET": list_consumers},
    "unacked": {"GET": list_unacked},
}
