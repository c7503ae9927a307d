"""One queue: its figures, consumers and bindings, how long it needs, and what can be done with it and its messages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from leveret.dashboard import moving
from leveret.dashboard.ask import Ask, Refused, Table, watched
from leveret.dashboard.pages.queues import row_of, slots_by_vhost
from leveret.dashboard.sampling import Track
from leveret.dashboard.source import Figures, path
from leveret.errors import ManagementError

PEEK_MAX: Final = 100
SHOWN_BYTES: Final = 200_000
"""Of a payload, when it is looked at."""
DEADLINES_S: Final = (60.0, 600.0, 3600.0)


@watched()
async def show(ask: Ask) -> Any:
    vhost, name = ask.names
    told = await ask.source.get(path("queues", vhost, name))
    track = ask.sampling.tracks.get((vhost, name)) or Track(Figures(vhost, name, 0, 0, 0, None, None))
    row = row_of(track, ask.sampling.tracks, await slots_by_vhost(ask))
    consumers = await consumers_of(ask, told)
    return row | {
        "at": ask.sampling.at,
        "type": told.get("type", "classic"),
        "durable": told.get("durable", True),
        "auto_delete": told.get("auto_delete", False),
        "exclusive": bool(told.get("exclusive", False)),
        "state": told.get("state", "running"),
        "policy": told.get("policy"),
        "arguments": told.get("arguments") or {},
        "bytes": told.get("message_bytes_ready"),
        "consumer_list": consumers,
        "workers_needed": [needed(row, within_s) for within_s in DEADLINES_S],
    }


async def consumers_of(ask: Ask, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each with how many messages it holds, None where the broker does not tell, and whether it can take more."""
    listed = told.get("consumer_details") or []
    if not listed:
        return []
    names = await connection_names(ask)
    held = await held_by_channel(ask, listed)
    return [consumer_row(one, names, held) for one in listed]


def consumer_row(
    one: Mapping[str, Any], names: Mapping[str, Mapping[str, Any]], held: Mapping[str, int]
) -> dict[str, Any]:
    channel = one.get("channel_details") or {}
    connection = channel.get("connection_name", "")
    unacked = one.get("messages_unacknowledged", held.get(channel.get("name", "")))
    prefetch = one.get("prefetch_count", 0)
    return {
        "tag": one.get("consumer_tag", ""),
        "connection": connection,
        "channel": channel.get("number"),
        "client": names.get(connection, {}).get("user_provided_name") or "",
        "host": names.get(connection, {}).get("peer_host") or channel.get("peer_host") or "",
        "user": channel.get("user", ""),
        "prefetch": prefetch,
        "unacked": unacked,
        "full": bool(prefetch and unacked is not None and unacked >= prefetch),
        "acks": one.get("ack_required", True),
        "active": one.get("active", True),
        "exclusive": one.get("exclusive", False),
    }


async def connection_names(ask: Ask) -> dict[str, Mapping[str, Any]]:
    """What is known of connections, by name: those which the user may see."""
    columns = {"columns": "name,user_provided_name,peer_host,client_properties"}
    try:
        return {row["name"]: row for row in await ask.source.get(path("connections"), columns) if "name" in row}
    except ManagementError:
        return {}


async def held_by_channel(ask: Ask, consumers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """RabbitMQ counts what a channel holds, not which of its consumers: where it has one only that is the same."""
    if all("messages_unacknowledged" in one for one in consumers):
        return {}
    columns = {"columns": "name,messages_unacknowledged,consumer_count"}
    try:
        rows = await ask.source.get(path("channels"), columns)
    except ManagementError:
        return {}
    return {row["name"]: row.get("messages_unacknowledged", 0) for row in rows if row.get("consumer_count") == 1}


def needed(row: Mapping[str, Any], within_s: float) -> dict[str, Any]:
    """How many more slots would empty the queue in that time; None: nobody knows how much one gets done.

    A slot gets done what the busy ones did on the average of the last seconds.
    """
    busy, out_rate = row["busy"] or row["unacked"], row["out_rate"]
    if not row["ready"]:
        return {"within_s": within_s, "more": 0}
    if not busy or out_rate <= 0:
        return {"within_s": within_s, "more": None}
    wanted = (row["ready"] / within_s + row["in_rate"]) / (out_rate / busy)
    return {"within_s": within_s, "more": max(0, math.ceil(wanted) - busy - row["free"])}


async def bindings(ask: Ask) -> Any:
    rows = await ask.source.get(path("queues", *ask.names, "bindings"))
    return [row for row in rows if row.get("source")]


# ---- what can be done


async def peek(ask: Ask) -> Any:
    """The next messages, which stay where they are; afterwards the broker calls them redelivered."""
    wanted = {
        "count": ask.whole("count", 1, PEEK_MAX),
        "ackmode": "ack_requeue_true",
        "encoding": "auto",
        "truncate": SHOWN_BYTES,
    }
    return await ask.source.ask("POST", path("queues", *ask.names, "get"), wanted)


async def publish(ask: Ask) -> Any:
    """Persistent, confirmed. Refused (409) if no queue of that name took it."""
    vhost, name = ask.names
    given = ask.body.get("properties") or {}
    if not isinstance(given, dict):
        raise Refused(400, "properties has to be an object")
    properties = dict(given)
    properties.setdefault("delivery_mode", 2)
    message = {
        "properties": properties,
        "routing_key": name,
        "payload": ask.text("payload"),
        "payload_encoding": "string",
    }
    told = await ask.source.ask("POST", path("exchanges", vhost, "amq.default", "publish"), message)
    if not told.get("routed"):
        raise Refused(409, "the queue did not take the message: it may be full, or gone")
    return {}


async def move(ask: Ask) -> Any:
    """Each is confirmed in its new queue before it leaves the old one."""
    vhost, name = ask.names
    to = ask.text("to")
    if to == name:
        raise Refused(400, "these messages are in that queue already")
    await ask.source.get(path("queues", vhost, to))
    return {"moved": await moving.move(ask.source.amqp_url(vhost), name, to, ask.whole("count", 1, moving.MOST))}


async def purge(ask: Ask) -> Any:
    if ask.body.get("confirm") != ask.names[1]:
        raise Refused(400, "the name that was typed is not the queue's")
    await ask.source.ask("DELETE", path("queues", *ask.names, "contents"))
    return {}


TABLE: Table = {
    "queues/*/*": {"GET": show},
    "queues/*/*/bindings": {"GET": bindings},
    "queues/*/*/peek": {"POST": peek},
    "queues/*/*/publish": {"POST": publish},
    "queues/*/*/move": {"POST": move},
    "queues/*/*/purge": {"POST": purge},
}
