"""Messages that wait for their time: a DelayLine holds those of one delayed-message exchange, in the store under a number
of its own like a queue's.

Memory: a line keeps about 100 octets for each message that waits, and the content of up to HELD_MESSAGES or HELD_BYTES; the
rest is read again when its time comes. Messages that are not persistent, or whose exchange is not durable, do not survive a
restart. One that is unroutable when its time comes is dropped. Deleting the exchange drops what waits in it.
Filled by broker/delayed_exchange.

After a crash a persistent message is
1. not there, if the commit that would have held it had not returned: it was not confirmed;
2. in the line: it is routed at its time, or at once if that has passed;
3. in the queues it was routed to: leaving the line and entering them is one commit. Until that has returned it counts as
   waiting, so what a consumer did not acknowledge by then is routed again, not marked redelivered.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.arguments import parse_expiration
from leveret.broker.exchange import Exchange, route
from leveret.broker.message import OVERHEAD_BYTES, decode_stored, encode_stored, read_notes, stored_length
from leveret.broker.router import Headers, copies, with_hidden_keys, without_bcc
from leveret.store.batch import DURABLE, GATHERED, IDLE, POSITION_BITS, Record
from leveret.wire.scan import scan

if TYPE_CHECKING:
    from leveret.broker.confirms import Confirms
    from leveret.broker.timers import Timer
    from leveret.broker.vhost import VirtualHost
    from leveret.store.database import Row

LINE_PREFIX: Final = "\n"
"""Before the exchange's name. No queue can be named so: line feeds are taken out of names."""
HELD_MESSAGES: Final = 32_768
HELD_BYTES: Final = 16 * 1024 * 1024
READING_MESSAGES: Final = 1024
READING_BYTES: Final = 8 * 1024 * 1024
"""Messages that are due and being read from the store; octets as their average says."""
CHUNK_MESSAGES: Final = 16_384
CHUNK_BYTES: Final = 8 * 1024 * 1024
"""Read at a time after a restart."""


class Delayed(Record):
    """A message that waits; `expires` is when its time comes."""

    def __init__(self, id: int, due: int, address: bytes, header: bytes, notes: bytes, body: bytes) -> None:
        super().__init__(id)
        self.expires = due
        self.address: Final = address
        self.header: Final = header
        self.notes: Final = notes
        self.body: Final = body
        self.confirms: Confirms | None = None
        self.sequence: int = 0

    def encode_into(self, parts: list[bytes]) -> int:
        """As broker/message keeps its own."""
        encode_stored(parts, self.address, self.header, self.notes, self.body)
        return self.length()

    def length(self) -> int:
        return stored_length(self.address, self.header, self.notes, self.body)

    def size(self) -> int:
        return OVERHEAD_BYTES + len(self.header) + len(self.body)

    def on_durable(self) -> None:
        confirms = self.confirms
        if confirms is not None:
            self.confirms = None
            confirms.settle(self.sequence)


class DelayLine:
    """The messages that wait for one exchange, by time and then in the order in which they came."""

    def __init__(self, vhost: VirtualHost, exchange: Exchange, line_id: int) -> None:
        self.id: Final = line_id
        self.name: Final = LINE_PREFIX + exchange.name
        self._vhost: Final = vhost
        self._exchange: Final = exchange
        self._kept: Final = exchange.durable
        # When, and which: every message that waits is in one of the two, the second in the order of going.
        self._waiting: Final[list[tuple[int, int]]] = []
        self._due: Final[deque[int]] = deque()
        # Of those, the ones in memory.
        self._held: Final[dict[int, Delayed]] = {}
        self._held_bytes: int = 0
        self._bytes: int = 0
        self._next_position: int = 0
        self._timer: Timer | None = None
        self._timer_at: int = 0
        # Nothing goes before all that waits is known again: it is to go in order.
        self._recovering: bool = False
        self._deleted: bool = False

    @property
    def count(self) -> int:
        """How many messages wait, as the plugin's `messages_delayed`."""
        return len(self._waiting) + len(self._due)

    # ---- in

    def add(
        self,
        address: bytes,
        header: bytes,
        notes: bytes,
        body: bytes,
        persistent: bool,
        delay_ms: int,
        confirms: Confirms | None,
        sequence: int,
    ) -> None:
        """Take a message, to be routed in `delay_ms`; confirms `sequence` once it is safe."""
        if self._deleted:
            if confirms is not None:
                confirms.settle(sequence)
            return
        position = self._next_position
        self._next_position += 1
        due = self._vhost.clock.now + delay_ms
        record = Delayed(self.id << POSITION_BITS | position, due, address, header, notes, body)
        store = self._vhost.store
        room = store.directory is None or self._has_room()
        if self._kept and persistent:
            record.confirms = confirms
            record.sequence = sequence
            store.add(record)
        else:
            if confirms is not None:
                confirms.settle(sequence)
            if not room:
                record.transient = True
                store.add(record)
        if room:
            self._hold(position, record)
        self._bytes += record.length()
        heapq.heappush(self._waiting, (due, position))
        self._set_timer()

    def _has_room(self) -> bool:
        return len(self._held) < HELD_MESSAGES and self._held_bytes < HELD_BYTES

    def _hold(self, position: int, record: Delayed) -> None:
        self._held[position] = record
        self._held_bytes += record.size()

    # ---- out

    def _set_timer(self) -> None:
        """Ask to be woken when the next message is due, unless that is asked already."""
        if self._waiting and not self._recovering:
            at = self._waiting[0][0]
            if self._timer is None or at < self._timer_at:
                self._end_timer()
                self._timer_at = at
                self._timer = self._vhost.timers.add(at, self._woken)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _woken(self) -> None:
        self._timer = None
        self._pass_on()

    def _pass_on(self) -> None:
        """Route what is due, in order, as far as it is in memory; the rest is being read."""
        due, held = self._due, self._held
        while True:
            while due and due[0] in held:
                record = held.pop(due.popleft())
                self._held_bytes -= record.size()
                self._bytes -= record.length()
                self._release(record)
            if not self._take_due():
                break

    def _take_due(self) -> bool:
        """Of what is due, the next to go, in bulk so that the store reads in bulk; False if there is none, or enough."""
        due, waiting = self._due, self._waiting
        now = self._vhost.clock.now
        ahead = max(1, min(READING_MESSAGES, READING_BYTES * self.count // max(1, self._bytes)))
        if len(due) > ahead // 2:
            return False
        if not waiting or waiting[0][0] > now:
            self._set_timer()
            return False
        while waiting and waiting[0][0] <= now and len(due) < ahead:
            position = heapq.heappop(waiting)[1]
            due.append(position)
            if position not in self._held:
                self._vhost.store.load(self.id, position, 1, 1, self._reader(position))
        return True

    def _reader(self, position: int) -> Callable[[list[Row]], None]:
        return lambda rows: self._read(position, rows)

    def _read(self, position: int, rows: list[Row]) -> None:
        if self._deleted:
            return
        if rows and rows[0].position == position:
            self._hold(position, self._stored(rows[0]))
        else:
            self._due.remove(position)
        self._pass_on()

    def _stored(self, row: Row) -> Delayed:
        address, header, notes, body = decode_stored(row.data)
        record = Delayed(self.id << POSITION_BITS | row.position, row.expires, address, header, notes, body)
        record.state = DURABLE
        record.transient = row.transient
        return record

    def _release(self, record: Delayed) -> None:
        """Its time has come. If it is not on its way to the disk yet, who waits for that waits for its queues instead."""
        vhost = self._vhost
        header = record.header
        found = scan(header)
        keys = [routing_key(record.address), *read_notes(record.notes)[1]]
        if found.has_copies:
            keys.extend(copies(Headers(header, found).table()))
        queues = route(self._exchange, keys, Headers(header, found), vhost.queues, vhost.exchanges)
        if found.has_copies:
            found = with_hidden_keys(header, found)
            header = without_bcc(header, found)
        if record.notes:
            found.notes = record.notes
        expiration_ms = parse_expiration(found.expiration) if found.has_expiration else -1
        confirms: Confirms | None = None
        if record.state == GATHERED:
            confirms = record.confirms
            record.confirms = None
        if confirms is not None:
            confirms.divert(record.sequence, len(queues))
        for queue in queues:
            queue.publish(record.address, header, record.body, found, expiration_ms, confirms, record.sequence, None)
        if record.state != IDLE:
            vhost.store.remove(record)

    # ---- life

    def recover(self, last_position: int) -> None:
        """At start: what waits is in the store, up to `last_position`."""
        self._next_position = last_position + 1
        self._recovering = True
        self._recover_from(0, last_position)

    def _recover_from(self, position: int, last_position: int) -> None:
        def recovered(rows: list[Row]) -> None:
            if not self._deleted:
                self._recovered(rows, last_position)

        if position <= last_position:
            self._vhost.store.load(self.id, position, CHUNK_MESSAGES, CHUNK_BYTES, recovered)
        else:
            self._recovering = False
            self._pass_on()

    def _recovered(self, rows: list[Row], last_position: int) -> None:
        for row in rows:
            if row.position > last_position:
                break  # came since the start, and is known
            self._bytes += len(row.data)
            if self._has_room():
                self._hold(row.position, self._stored(row))
            heapq.heappush(self._waiting, (row.expires, row.position))
        self._recover_from(rows[-1].position + 1 if rows else last_position + 1, last_position)

    def forget(self) -> None:
        """The exchange is deleted, and what waits with it; publishers that wait for others are told now."""
        self._deleted = True
        self._end_timer()
        store = self._vhost.store
        for record in self._held.values():
            if record.state == GATHERED:
                store.remove(record)
        self._held.clear()
        self._waiting.clear()
        self._due.clear()


def routing_key(address: bytes) -> str:
    """Out of an encoded address."""
    middle = 1 + address[0]
    return address[middle + 1 :].decode("utf-8", "surrogateescape")
