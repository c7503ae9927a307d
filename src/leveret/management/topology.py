"""Queues, exchanges and bindings over HTTP: listed, declared, bound and deleted, with RabbitMQ's fields and statuses."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, quote_plus

from starlette.responses import Response

from leveret.broker.delayed_exchange import DelayedExchange
from leveret.broker.exchange import Binding, Destination, Exchange
from leveret.broker.permissions import CONFIGURE, READ
from leveret.broker.queue import Queue
from leveret.broker.vhost import VirtualHost
from leveret.management import figures
from leveret.management.acting import Acting
from leveret.management.calls import Call, Table, committed, created, flag, gone, not_found, table
from leveret.management.details import Details
from leveret.management.lists import listed, only, unpaged_rows
from leveret.management.rows import as_json
from leveret.management.views import View, queue_bare, queue_detail, queue_view


class Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)
DEFAULT_EXCHANGE = "amq.default"
"""What the nameless exchange is called in a path."""


# ---- queues


def list_queues(call: Call) -> Any:
    """In the order of virtual hosts and names."""
    found = [queue for vhost in by_name(call.visible()) for queue in by_name(vhost.queues.values())]
    details, totals = call.details(), call.asked("enable_queue_totals")

    def view(queue: Queue) -> View:
        return queue_bare(queue, totals) if call.asked("disable_stats") else queue_view(queue, details)

    return listed(call, found, view, name_of)


def name_of(thing: Named) -> str:
    return thing.name


def by_name(things: Iterable[N]) -> list[N]:
    return sorted(things, key=name_of)


def get_queue(call: Call) -> View:
    vhost, name = call.seen(), call.names[1]
    if call.asked("disable_stats"):
        return queue_bare(vhost.queues[name], call.asked("enable_queue_totals"))
    return chosen(call, queue_detail(vhost, name, call.details()))


def chosen(call: Call, view: View) -> View:
    return only(view, call.query["columns"].split(",")) if "columns" in call.query else view


async def put_queue(call: Call) -> Response:
    vhost, name = call.vhost(), call.names[1]
    body = call.fields()
    new = name not in vhost.queues
    durable, auto_delete = flag(body, "durable"), flag(body, "auto_delete")
    vhost.declare_queue(name, durable, False, auto_delete, table(body, "arguments"), Acting(call.user))
    return await created(call.broker, new)


async def delete_queue(call: Call) -> Response:
    vhost = call.seen()
    queue = vhost.queues[call.names[1]]
    peer = Acting(call.user)
    vhost.permissions.require(peer, CONFIGURE, "queue", queue.name)
    vhost.queue(queue.name, peer)
    vhost.delete_queue(queue, call.asked("if-unused"), call.asked("if-empty"))
    return await gone(call.broker)


async def purge_queue(call: Call) -> Response:
    vhost = call.seen()
    queue = vhost.queues[call.names[1]]
    peer = Acting(call.user)
    vhost.permissions.require(peer, READ, "queue", queue.name)
    purged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    vhost.queue(queue.name, peer).purge(lambda count: None if purged.done() else purged.set_result(count))
    await purged
    return await gone(call.broker)


# ---- exchanges


def exchange_view(vhost: VirtualHost, exchange: Exchange, details: Details) -> View:
    waiting: View = {} if exchange.policy is None else {"policy": exchange.policy.name}
    if isinstance(exchange, DelayedExchange) and exchange.line is not None:
        waiting["messages_delayed"] = exchange.line.count
    return {
        "name": exchange.name,
        "vhost": vhost.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": as_json(exchange.arguments),
        "message_stats": details.shown(figures.EXCHANGE, figures.of_exchange(exchange), details.sampling.of(exchange)),
        **waiting,
    }


def list_exchanges(call: Call) -> Any:
    details = call.details()
    found = [(vhost, exchange) for vhost in by_name(call.visible()) for exchange in by_name(vhost.exchanges.values())]
    return listed(call, found, lambda one: exchange_view(*one, details), lambda one: one[1].name)


def exchange_name(name: str) -> str:
    return "" if name == DEFAULT_EXCHANGE else name


def get_exchange(call: Call) -> View:
    vhost = call.seen()
    view = exchange_view(vhost, vhost.exchanges[exchange_name(call.names[1])], call.details())
    # RabbitMQ's are filled where rates are counted by channel and queue (`rates_mode` detailed).
    return chosen(call, {**view, "incoming": [], "outgoing": []})


async def put_exchange(call: Call) -> Response:
    vhost, name = call.vhost(), exchange_name(call.names[1])
    body = call.fields()
    kind = str(body.get("type", "direct"))
    new = name not in vhost.exchanges
    durable, auto_delete, internal = (flag(body, one) for one in ("durable", "auto_delete", "internal"))
    vhost.declare_exchange(name, kind, durable, auto_delete, internal, table(body, "arguments"), Acting(call.user))
    return await created(call.broker, new)


async def delete_exchange(call: Call) -> Response:
    vhost = call.seen()
    exchange = vhost.exchanges[exchange_name(call.names[1])]
    vhost.delete_exchange(exchange.name, call.asked("if-unused"), Acting(call.user))
    return await gone(call.broker)


# ---- bindings


def properties_key(key: str, arguments: dict[str, object]) -> str:
    """Names a binding among those of the same source and destination; opaque, as RabbitMQ's is."""
    if not key and not arguments:
        return "~"
    written = quote_plus(key, safe="").replace("~", "%7E").replace("*", "%2A")
    if not arguments:
        return written
    digest = hashlib.sha256(repr(sorted(arguments.items())).encode()).digest()[:4]
    return f"{written}~{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def binding_view(vhost: VirtualHost, binding: Binding) -> View:
    return {
        "source": binding.source.name,
        "vhost": vhost.name,
        "destination": binding.destination.name,
        "destination_type": binding.destination.kind,
        "routing_key": binding.key,
        "arguments": as_json(binding.arguments),
        "properties_key": properties_key(binding.key, binding.arguments),
    }


def default_binding(vhost: VirtualHost, queue: str) -> View:
    """Every queue is bound to the default exchange by its name."""
    return {
        "source": "",
        "vhost": vhost.name,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": queue,
        "arguments": {},
        "properties_key": properties_key(queue, {}),
    }


def bindings_of(vhost: VirtualHost) -> list[View]:
    explicit = [
        binding_view(vhost, binding) for exchange in vhost.exchanges.values() for binding in exchange.bindings.values()
    ]
    return [default_binding(vhost, name) for name in vhost.queues] + explicit


def list_bindings(call: Call) -> Any:
    return unpaged_rows(call, [view for vhost in by_name(call.visible()) for view in bindings_of(vhost)])


def list_bindings_from(call: Call) -> Any:
    vhost, name = call.seen(), exchange_name(call.names[1])
    if not name:
        return unpaged_rows(call, [default_binding(vhost, queue) for queue in vhost.queues])
    exchange = vhost.exchanges.get(name)
    return unpaged_rows(
        call, [] if exchange is None else [binding_view(vhost, one) for one in exchange.bindings.values()]
    )


def list_bindings_to(call: Call, kind: str) -> Any:
    vhost = call.seen()
    destination = vhost.queues.get(call.names[1]) if kind == "queue" else vhost.exchanges.get(call.names[1])
    if destination is None:
        return []
    rows = [binding_view(vhost, binding) for binding in destination.incoming.values()]
    return unpaged_rows(call, [default_binding(vhost, destination.name), *rows] if kind == "queue" else rows)


def between(call: Call, kind: str) -> list[View]:
    """The bindings from the exchange to the destination in the path."""
    vhost = call.seen()
    source, destination = exchange_name(call.names[1]), call.names[2]
    if not source:
        return [default_binding(vhost, destination)] if kind == "queue" and destination in vhost.queues else []
    found = vhost.queues.get(destination) if kind == "queue" else vhost.exchanges.get(destination)
    incoming = () if found is None else found.incoming.values()
    return [binding_view(vhost, binding) for binding in incoming if binding.source.name == source]


def destination_of(call: Call, vhost: VirtualHost, kind: str, key: str) -> Destination:
    """What is to be bound or unbound, if it is there and the user may."""
    peer, name = Acting(call.user), call.names[2]
    vhost.may_bind(peer, exchange_name(call.names[1]), kind, name, key)
    return vhost.queue(name, peer) if kind == "queue" else vhost.exchange(name)


async def post_binding(call: Call, kind: str) -> Response:
    vhost, body = call.vhost(), call.fields()
    key, arguments = str(body.get("routing_key", "")), table(body, "arguments")
    destination = destination_of(call, vhost, kind, key)
    vhost.bind(exchange_name(call.names[1]), destination, key, arguments)
    await committed(call.broker)
    place = f"{quote(destination.name, safe='')}/{quote(properties_key(key, arguments), safe='~')}"
    return Response(status_code=201, headers={"Location": place})


def get_binding(call: Call, kind: str) -> View:
    named = call.names[3]
    for view in between(call, kind):
        # RabbitMQ also finds it by what it stands for, which is what its own clients send.
        if view["properties_key"] in (named, properties_key(named, {})):
            return view
    raise not_found()


async def delete_binding(call: Call, kind: str) -> Response:
    view, vhost = get_binding(call, kind), call.seen()
    key = view["routing_key"]
    vhost.unbind(view["source"], destination_of(call, vhost, kind, key), key, view["arguments"])
    return await gone(call.broker)


TABLE: Table = {
    "queues": {"GET": list_queues},
    "queues/*": {"GET": list_queues},
    "queues/*/*": {"GET": get_queue, "PUT": put_queue, "DELETE": delete_queue},
    "queues/*/*/contents": {"DELETE": purge_queue},
    "queues/*/*/bindings": {"GET": lambda call: list_bindings_to(call, "queue")},
    "exchanges": {"GET": list_exchanges},
    "exchanges/*": {"GET": list_exchanges},
    "exchanges/*/*": {"GET": get_exchange, "PUT": put_exchange, "DELETE": delete_exchange},
    "exchanges/*/*/bindings/source": {"GET": list_bindings_from},
    "exchanges/*/*/bindings/destination": {"GET": lambda call: list_bindings_to(call, "exchange")},
    "bindings": {"GET": list_bindings},
    "bindings/*": {"GET": list_bindings},
    "bindings/*/e/*/q/*": {
        "GET": lambda call: unpaged_rows(call, between(call, "queue")),
        "POST": lambda call: post_binding(call, "queue"),
    },
    "bindings/*/e/*/e/*": {
        "GET": lambda call: unpaged_rows(call, between(call, "exchange")),
        "POST": lambda call: post_binding(call, "exchange"),
    },
    "bindings/*/e/*/q/*/*": {
        "GET": lambda call: get_binding(call, "queue"),
        "DELETE": lambda call: delete_binding(call, "queue"),
    },
    "bindings/*/e/*/e/*/*": {
        "GET": lambda call: get_binding(call, "exchange"),
        "DELETE": lambda call: delete_binding(call, "exchange"),
    },
}
