"""Where the messages of one `message_id` are: in which queue, behind how many others, or unacknowledged with whom and since when.

Looked at where they are, so that nothing is delivered for it, and nothing marked redelivered. What the store alone has is looked
for there, as long as that may take; the rest is counted as `unseen`. Leveret's own, as /api/unacked is; RabbitMQ has no such
question. Named by management/api.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from leveret.broker.level import Level
from leveret.broker.message import Message, decode_stored, place_of
from leveret.broker.permissions import READ
from leveret.broker.queue import Queue
from leveret.broker.vhost import VirtualHost
from leveret.management.calls import Call, Table
from leveret.management.messages import properties_view
from leveret.management.views import View, held_view
from leveret.wire.properties import decode_properties

FOUND_MAX: Final = 100
"""An id is to be unique; where programs take it for something else so many are told."""

SLICE_MESSAGES: Final = 1_000
SEEK_S: Final = 1.0
"""So long the store is looked through, a gigabyte or two: pages ask every few seconds."""

CLASS_AND_WEIGHT: Final = 12
"""Octets of a header frame before its properties."""


async def find(call: Call) -> View:
    search = Search(call.names[0])
    vhosts = [vhost for vhost in call.broker.vhosts.values() if call.may_see(vhost)]
    for vhost in vhosts:
        grant = vhost.permissions.grants.get(call.user.name)
        for queue in list(vhost.queues.values()):
            if grant is not None and grant.allows(READ, queue.name):
                await call.sliced(search.ready(queue))
    await call.sliced(search.held(call, vhosts))
    if search.unseen:
        store = call.broker.store
        rows, complete = await asyncio.to_thread(store.seek, search.octets, SEEK_S)
        search.on_disk(rows, store.pending_count if complete else search.unseen)
    return {"message_id": search.id, "found": search.found, "unseen": search.unseen}


class Paged(NamedTuple):
    """What a queue has in the store alone: from a position on, behind so many others."""

    queue: Queue
    first: int
    before: int


class Search:
    """In memory first. What is `unseen` then, `on_disk` may tell."""

    def __init__(self, id: str) -> None:
        self.id: Final = id
        self.octets: Final = id.encode()
        self.found: list[View] = []
        self.unseen = 0
        self._away: dict[int, View] = {}
        """By a message's number in the store: what is told of those whose content is there."""
        self._paged: dict[int, Paged] = {}
        """By a level's."""

    def ready(self, queue: Queue) -> Iterator[None]:
        before = 0
        for level in queue.backlog.levels():
            for position, message in enumerate(in_memory(level), before):
                if position % SLICE_MESSAGES == 0:
                    yield
                self._look(message, state="ready", before=position)
            if level.paged:
                self._paged[level.id] = Paged(queue, level.paged_from, before + level.count - level.paged)
                self.unseen += level.paged
            before += level.count
            yield

    def held(self, call: Call, vhosts: list[VirtualHost]) -> Iterator[None]:
        broker = call.broker
        for peer in list(broker.peers.values()):
            for channel in list(peer.channels.values()):
                grant = channel.vhost.permissions.grants.get(call.user.name)
                if channel.vhost not in vhosts or grant is None:
                    continue
                for number, message in enumerate(held_by(channel.unacked.blocks())):
                    if number % SLICE_MESSAGES == 0:
                        yield
                    if grant.allows(READ, message.queue.name) and (message.away or self._fits(message.header)):
                        self._look(message, state="unacked", **held_view(broker, channel, message))
                yield

    def on_disk(self, rows: list[tuple[int, int, bytes]], unseen: int) -> None:
        """`rows` of the store, which may have them: id, deliveries, data. `unseen`: so many may not have been looked at."""
        self.unseen = min(self.unseen, unseen)
        for number, deliveries, data in rows:
            address, header, _, body = decode_stored(data)
            if not self._fits(header):
                continue
            level, position = place_of(number)
            if number in self._away:
                self._add(address, header, self._away[number])
            elif level in self._paged and position >= self._paged[level].first:
                queue, first, before = self._paged[level]
                own = {"redelivered": deliveries > 0, "on_disk": True, "payload_bytes": len(body)}
                self._add(address, header, {**of(queue), **own, "state": "ready", "before": before + position - first})

    def _look(self, message: Message, **more: Any) -> None:
        if message.away:
            self.unseen += 1
            self._away[message.id] = {**of_message(message), **more}
        elif self._fits(message.header):
            self._add(message.address, message.header, {**of_message(message), **more})

    def _fits(self, header: bytes) -> bool:
        """Most are told by their octets alone."""
        return self.octets in header and properties(header).get("message_id") == self.id

    def _add(self, address: bytes, header: bytes, told: View) -> None:
        if len(self.found) < FOUND_MAX:
            middle = 1 + address[0]
            key = address[middle + 1 :].decode("utf-8", "replace")
            self.found.append({**told, "routing_key": key, "properties": properties(header)})


def of(queue: Queue) -> View:
    return {"queue": queue.name, "vhost": queue.vhost.name, "ready": queue.ready, "consumers": len(queue.consumers)}


def of_message(message: Message) -> View:
    own = {"redelivered": message.redelivered, "on_disk": message.on_disk, "payload_bytes": message.body_bytes()}
    return {**of(message.queue), **own}


def properties(header: bytes) -> View:
    return properties_view(decode_properties(header, CLASS_AND_WEIGHT))


def in_memory(level: Level) -> Iterable[Message]:
    """As they are now, in their order: the queue goes on meanwhile."""
    return [message for _, message in sorted(level.returned, key=_position)] + list(level.window)


def held_by(blocks: list[dict[int, Message]]) -> Iterator[Message]:
    for block in blocks:
        yield from list(block.values())


def _position(entry: tuple[int, Message]) -> int:
    return entry[0]


TABLE: Table = {"messages/*": {"GET": find}}
