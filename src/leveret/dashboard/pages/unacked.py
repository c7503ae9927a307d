"""Forgotten acknowledgements: who holds which message, since when, and who looks as if it had forgotten them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from leveret.dashboard.ask import NOT_FOUND, Ask, Table, watched
from leveret.dashboard.attention import WARNING, Sign
from leveret.dashboard.holding import Holder, Key, judged, of_channel, of_messages
from leveret.dashboard.pages.queues import OWN
from leveret.dashboard.source import path
from leveret.management.remote import Declined

CHANNEL_COLUMNS = (
    "name,number,user,vhost,connection_details,prefetch_count,messages_unacknowledged,consumer_count,message_stats"
)
HOLDERS_MAX = 500


@watched(2.0)
async def show(ask: Ask) -> Any:
    """`exact`: the broker tells each message and its age, else how many each channel holds."""
    exact, holders = await found(ask)
    return {
        "exact": exact,
        "total": sum(holder.held for holder in holders),
        "suspicious": sum(holder.suspicious for holder in holders),
        "holders": [asdict(holder) | {"full": holder.full} for holder in holders[:HOLDERS_MAX]],
        "all": len(holders),
    }


async def found(ask: Ask) -> tuple[bool, list[Holder]]:
    api = ask.source
    channels, consumers, connections, messages = await asyncio.gather(
        api.get(path("channels"), {"columns": CHANNEL_COLUMNS}),
        api.get(path("consumers")),
        api.get(path("connections"), {"columns": "name,user_provided_name,peer_host"}),
        each_message(ask),
    )
    now = ask.now
    quiet = ask.parts.held.look(channels, now)
    connection_rows = {row["name"]: row for row in connections if "name" in row}
    if messages is None:
        return False, judged(of_channels(channels, consumers, connection_rows, quiet), quiet, now)
    named = {row["name"]: row for row in channels}
    holders = of_messages(not_own(messages), named, connection_rows, by_key(consumers), now)
    return True, judged(holders, quiet, now)


def not_own(messages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Workers hold messages of the work queue's own queues for as long as they live: the scheduler's baton, say."""
    return [one for one in messages if not one["queue"].startswith(OWN)]


async def each_message(ask: Ask) -> list[dict[str, Any]] | None:
    """None: this broker does not tell."""
    try:
        rows: list[dict[str, Any]] = await ask.source.get(path("unacked"))
        return rows
    except Declined as declined:
        if declined.status == NOT_FOUND:
            return None
        raise


def by_key(consumers: Iterable[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    return {
        (
            one["channel_details"].get("connection_name", ""),
            one["channel_details"].get("number", 0),
            one["consumer_tag"],
        ): one
        for one in consumers
        if one.get("channel_details")
    }


def of_channels(
    channels: Iterable[Mapping[str, Any]],
    consumers: Iterable[Mapping[str, Any]],
    connections: Mapping[str, Mapping[str, Any]],
    quiet: Mapping[str, float],
) -> list[Holder]:
    """What a channel holds may be of any of its consumers: all of them are named."""
    own: dict[str, list[Mapping[str, Any]]] = {}
    for one in consumers:
        own.setdefault((one.get("channel_details") or {}).get("name", ""), []).append(one)
    holders = []
    for channel in channels:
        if not channel.get("messages_unacknowledged"):
            continue
        consuming = own.get(channel["name"], [])
        if consuming and all(one["queue"]["name"].startswith(OWN) for one in consuming):
            continue
        details = channel.get("connection_details") or {}
        holder = of_channel(channel, consuming[0] if consuming else {}, connections.get(details.get("name", ""), {}))
        holder.queue = ", ".join(sorted({one["queue"]["name"] for one in consuming}))
        holder.consumer_tag = ", ".join(sorted(one["consumer_tag"] for one in consuming))
        holder.prefetch = sum(one.get("prefetch_count", 0) for one in consuming)
        holder.oldest = quiet.get(channel["name"])
        holders.append(holder)
    return holders


async def signs(ask: Ask) -> list[Sign]:
    """For the overview."""
    _, holders = await found(ask)
    return [
        Sign(WARNING, "unacked", holder.client or holder.connection, holder.why, "#/unacked", holder.held)
        for holder in holders
        if holder.suspicious
    ]


async def close(ask: Ask) -> Any:
    """What its channels hold goes back to the queues at once."""
    await ask.source.ask("DELETE", path("connections", ask.names[0]))
    return {}


TABLE: Table = {"unacked": {"GET": show}, "connections/*/close": {"POST": close}}
