"""Who holds messages unacknowledged, and who looks as if it had forgotten them: judged by what the management API tells, over time.

Leveret tells each message and its age. RabbitMQ tells how many each channel holds and how many it has acknowledged: there an age
is since when that number has not moved while we looked. Pure; fed and read by pages/unacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MINUTE_S: Final = 60.0
OLD_S: Final = 600.0
"""So old a message is suspicious even where nothing else is."""
FORGETFUL_S: Final = 60.0
"""After so long whoever takes one message after another should have acknowledged some."""
UNSEEN_S: Final = 60.0
MESSAGES_SHOWN: Final = 50


@dataclass(slots=True)
class Holder:
    """A consumer, or on RabbitMQ a channel, that holds messages. Times are seconds since 1970, None where nobody tells."""

    vhost: str
    queue: str
    consumer_tag: str
    channel: int
    connection: str
    client: str
    host: str
    user: str
    prefetch: int
    held: int
    oldest: float | None = None
    newest: float | None = None
    taken: int | None = None
    acknowledged: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    suspicious: bool = False
    why: str = ""

    @property
    def full(self) -> bool:
        return 0 < self.prefetch <= self.held


Key = tuple[str, int, str]


class Memory:
    """Since when a channel's acknowledgements have not become more although it holds messages."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float, float]] = {}

    def look(self, channels: Iterable[Mapping[str, Any]], now: float) -> dict[str, float]:
        """By channel's name. Those that nobody has shown for a while are forgotten: not everybody sees every channel."""
        seen: dict[str, float] = {}
        for channel in channels:
            name = channel["name"]
            if not channel.get("messages_unacknowledged"):
                self._since.pop(name, None)
                continue
            acks = (channel.get("message_stats") or {}).get("ack", 0)
            known = self._since.get(name)
            seen[name] = known[1] if known is not None and known[0] == acks else now
            self._since[name] = (acks, seen[name], now)
        self._since = {name: one for name, one in self._since.items() if now - one[2] <= UNSEEN_S}
        return seen


def of_messages(
    rows: Iterable[Mapping[str, Any]],
    channels: Mapping[str, Mapping[str, Any]],
    connections: Mapping[str, Mapping[str, Any]],
    consumers: Mapping[Key, Mapping[str, Any]],
    now: float,
) -> list[Holder]:
    """From Leveret's own list (/api/unacked), whose rows come the oldest first."""
    holders: dict[Key, Holder] = {}
    for row in rows:
        key = (row["connection"], row["channel"], row["consumer_tag"])
        holder = holders.get(key)
        if holder is None:
            channel = channels.get(f"{row['connection']} ({row['channel']})", {})
            consumer = consumers.get(key, {})
            holder = holders[key] = of_channel(channel, consumer, connections.get(row["connection"], {}))
            holder.vhost, holder.queue, holder.consumer_tag = row["vhost"], row["queue"], row["consumer_tag"]
            holder.connection, holder.channel, holder.client = row["connection"], row["channel"], row["client"]
            holder.held = 0
        since = round(now - row["held_ms"] / 1000, 1)
        holder.held += 1
        holder.oldest = since if holder.oldest is None else min(since, holder.oldest)
        holder.newest = since if holder.newest is None else max(since, holder.newest)
        if len(holder.messages) < MESSAGES_SHOWN:
            holder.messages.append(
                {
                    "tag": row["delivery_tag"],
                    "since": since,
                    "redelivered": row["redelivered"],
                    "bytes": row["body_bytes"],
                    "queue": row["queue"],
                }
            )
    return list(holders.values())


def of_channel(channel: Mapping[str, Any], consumer: Mapping[str, Any], connection: Mapping[str, Any]) -> Holder:
    stats = channel.get("message_stats") or {}
    details = channel.get("connection_details") or {}
    return Holder(
        vhost=channel.get("vhost", ""),
        queue=(consumer.get("queue") or {}).get("name", ""),
        consumer_tag=consumer.get("consumer_tag", ""),
        channel=channel.get("number", 0),
        connection=details.get("name", ""),
        client=connection.get("user_provided_name") or "",
        host=connection.get("peer_host") or details.get("peer_host") or "",
        user=channel.get("user", ""),
        prefetch=consumer.get("prefetch_count") or channel.get("prefetch_count", 0),
        held=channel.get("messages_unacknowledged", 0),
        taken=stats.get("deliver_get"),
        acknowledged=stats.get("ack", 0) if stats else None,
    )


def judged(holders: Iterable[Holder], quiet_since: Mapping[str, float], now: float) -> list[Holder]:
    """The suspicious ones first, then by age; `why` says what is the matter."""
    found = list(holders)
    for holder in found:
        since = quiet_since.get(f"{holder.connection} ({holder.channel})")
        holder.why = suspicion(holder, None if since is None else now - since, now)
        holder.suspicious = bool(holder.why)
    return sorted(found, key=lambda one: (not one.suspicious, one.oldest if one.oldest is not None else now, -one.held))


def suspicion(holder: Holder, quiet_s: float | None, now: float) -> str:
    """Why this holder looks as if it had forgotten to acknowledge; empty: it does not. `quiet_s`: so long it acknowledged nothing."""
    oldest_s = None if holder.oldest is None else now - holder.oldest
    waited_s = oldest_s if oldest_s is not None else quiet_s
    if waited_s is None or waited_s < FORGETFUL_S:
        return ""
    if holder.acknowledged == 0 and holder.held > 1:
        return f"It has taken {holder.held:,} messages and never acknowledged one"
    if oldest_s is not None and holder.newest is not None and quiet_s is not None:
        goes_on = holder.newest - (holder.oldest or 0.0) > FORGETFUL_S
        if goes_on and quiet_s >= FORGETFUL_S:
            return f"It goes on taking messages, and acknowledges none since {spoken(quiet_s)}"
        if goes_on and oldest_s >= OLD_S:
            return "It acknowledges others and not its oldest"
    if holder.full and quiet_s is not None and quiet_s >= OLD_S:
        return f"It holds all that it may, and acknowledges nothing since {spoken(quiet_s)}"
    if waited_s >= OLD_S:
        return f"Its oldest is unacknowledged since {spoken(waited_s)}"
    return ""


def spoken(span_s: float) -> str:
    """Whole minutes or hours, so that it does not change all the time."""
    minutes = int(span_s // MINUTE_S)
    if minutes < 60:
        return f"{minutes} {'minute' if minutes == 1 else 'minutes'}"
    return f"{minutes // 60} {'hour' if minutes < 120 else 'hours'}"
