"""Virtual hosts over HTTP: listed and shown, with the figures of all that is in each. Made and deleted by management/tenants."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from leveret.broker.users import ADMINISTRATOR
from leveret.broker.vhost import VirtualHost
from leveret.management import figures
from leveret.management.calls import Call, Table
from leveret.management.endpoints import not_authorised
from leveret.management.lists import listed
from leveret.management.rows import vhost_row
from leveret.management.views import NODE, View, parted


async def vhost_view(call: Call, vhost: VirtualHost) -> View:
    sums = figures.Sums()
    await call.sliced(sums.vhost(vhost))
    flat = call.details().shown(figures.VHOST, sums.figures(), call.sampling.of(vhost))
    stats, top = parted(flat, (*figures.LENGTHS, *figures.OCTETS))
    return {
        **vhost_row(vhost),
        **top,
        "default_queue_type": vhost.metadata.get("default_queue_type", "undefined"),
        "tracing": False,
        "cluster_state": {NODE: "running"},
        "message_stats": stats,
    }


async def list_vhosts(call: Call) -> Any:
    seen = sorted(call.visible(), key=lambda vhost: vhost.name)
    rows = [await vhost_view(call, vhost) for vhost in seen]
    return await listed(call, rows, lambda row: row, lambda row: str(row["name"]))


async def show_vhost(call: Call) -> View:
    vhost = call.broker.vhosts[call.names[0]]
    for_administrators(call)
    return await vhost_view(call, vhost)


def for_administrators(call: Call) -> None:
    if ADMINISTRATOR not in call.user.tags:
        raise not_authorised("Not administrator user")


def start(call: Call) -> Response:
    """RabbitMQ starts a virtual host again that has failed on a node; here it runs or the broker does not."""
    vhost, node = call.names
    for_administrators(call)
    if vhost not in call.broker.vhosts or node != NODE:
        raise KeyError(vhost)
    return Response(status_code=204)


TABLE: Table = {
    "vhosts": {"GET": list_vhosts},
    "vhosts/*": {"GET": show_vhost},
    "vhosts/*/start/*": {"POST": start},
}
