"""Is what a store holds what a broker would have written? Every broken invariant is a line that names it.

Read through store/archive, so also while a broker runs. Used by `leveret store check`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from leveret.broker.definitions import read_table
from leveret.broker.delay_line import LINE_PREFIX
from leveret.broker.message import decode_stored
from leveret.broker.settings import read
from leveret.broker.vhost import PREDECLARED
from leveret.errors import CodecError, StoreError
from leveret.store.archive import Archive, QueueFigures
from leveret.store.database import Row
from leveret.wire.properties import decode_properties
from leveret.wire.scan import scan

LISTED_MAX: Final = 20
"""Messages of a queue that are named; of more it is told how many."""


def problems(archive: Archive, thorough: bool, progress: Callable[[str], None]) -> Iterator[str]:
    """`thorough` reads every message. `progress` is told what is looked at next. A file that cannot be read is a problem too."""
    progress("the file")
    damages = archive.integrity(thorough)
    yield from (f"file: {line}" for line in damages)
    try:
        queues = archive.queues()
        yield from _definitions(archive, queues)
        yield from _orphans(archive, {queue.id for queue in queues})
        for queue in queues:
            progress(label(queue))
            yield from _counts(archive, queue)
            if thorough:
                yield from _messages(archive, queue)
    except StoreError as error:
        if not damages:
            yield f"file: {error}"


def label(queue: QueueFigures) -> str:
    """How a queue, or a delayed exchange's line among them, is called."""
    name = queue.name
    what = f"delayed exchange '{name[len(LINE_PREFIX) :]}'" if name.startswith(LINE_PREFIX) else f"queue '{name}'"
    of = f", priority {queue.priority}" if queue.priority else ""
    return f"{what} in vhost '{queue.vhost}'{of}"


def _counts(archive: Archive, queue: QueueFigures) -> Iterator[str]:
    counted = archive.count(queue.id)
    if counted.messages != queue.messages:
        yield f"{label(queue)}: {queue.messages} messages by its count, {counted.messages} are there"
    if counted.bytes != queue.bytes:
        yield f"{label(queue)}: {queue.bytes} octets by its count, {counted.bytes} are there"


def _orphans(archive: Archive, known: set[int]) -> Iterator[str]:
    """Persistent messages without a queue; paged ones of a queue that is not durable have none."""
    for number in archive.stored_queues():
        if number not in known:
            counted = archive.count(number)
            if counted.messages > counted.transient:
                yield f"queue number {number} is not there, but {counted.messages - counted.transient} of its messages are"


def _messages(archive: Archive, queue: QueueFigures) -> Iterator[str]:
    bad = 0
    for row in archive.messages(queue.id):
        reason = unreadable(row)
        if reason:
            bad += 1
            if bad <= LISTED_MAX:
                yield f"{label(queue)}: message {row.position} cannot be read: {reason}"
    if bad > LISTED_MAX:
        yield f"{label(queue)}: {bad - LISTED_MAX} more messages cannot be read"


def unreadable(row: Row) -> str:
    """Why the message cannot be delivered; empty if it can."""
    try:
        _, header, _, body = decode_stored(row.data)
        scan(header)
        decode_properties(header, 12)
    except (CodecError, IndexError, ValueError) as error:
        return str(error) or type(error).__name__
    announced = int.from_bytes(header[4:12], "big")
    return "" if announced == len(body) else f"its header announces {announced} octets of body, {len(body)} are there"


def _definitions(archive: Archive, queues: list[QueueFigures]) -> Iterator[str]:
    """Whether they can be read, and lead to what is there."""
    for queue in queues:
        if queue.priority == 0:
            yield from _definition(label(queue), queue.definition)
    exchanges = archive.exchanges()
    for exchange in exchanges:
        yield from _definition(f"exchange '{exchange.name}' in vhost '{exchange.vhost}'", exchange.definition, "type")
    there = {("exchange", exchange.vhost, exchange.name) for exchange in exchanges}
    there |= {("queue", queue.vhost, queue.name) for queue in queues}
    for binding in archive.bindings():
        known = ("source", "kind", "destination", "key")
        broken = list(_definition(f"binding {binding.key}", binding.definition, *known))
        yield from broken
        if not broken:
            value = json.loads(binding.definition)
            ends = (("exchange", value["source"]), (value["kind"], value["destination"]))
            for kind, name in ends:
                if (kind, binding.vhost, name) not in there and not (kind == "exchange" and name in PREDECLARED):
                    yield f"binding {binding.key}: there is no {kind} '{name}' in vhost '{binding.vhost}'"
    try:
        read(archive.settings())
    except ValueError as error:
        yield f"settings: {error}"


def _definition(what: str, text: str, *wanted: str) -> Iterator[str]:
    try:
        value: Any = json.loads(text)
        missing = [name for name in wanted if name not in value]
        if missing:
            yield f"{what}: its definition has no {missing[0]}"
        read_table(value.get("arguments", ""))
    except (ValueError, TypeError, AttributeError, CodecError) as error:
        yield f"{what}: its definition cannot be read: {error}"
