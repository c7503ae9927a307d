"""Ready messages of one queue and priority in the order of their positions, wherever they are.

Three parts, in this order: `returned` (were delivered and came back: a heap by position, of which the most have no content
in memory), `window` (in memory), and the paged rest, which only the store has. The window is bounded in messages and bytes; it is filled again from the store
when it is half empty. Owned by broker/queue, which decides who gets what; made by broker/vhost.

Invariant: every position in `returned` < every position in `window` < every paged position. A message is delivered only
from the front, so what comes back always belongs before what was never delivered.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.backlog import Backlog
from leveret.broker.leaving import Part
from leveret.broker.message import Message, decode_stored
from leveret.errors import StoreError
from leveret.store.batch import DURABLE, IDLE
from leveret.wire.scan import scan

if TYPE_CHECKING:
    from leveret.broker.queue import Queue
    from leveret.store.database import Row

WINDOW_MESSAGES: Final = 32_768
WINDOW_BYTES: Final = 16 * 1024 * 1024
FETCHED_MESSAGES: Final = 1_024
FETCHED_BYTES: Final = 4 * 1024 * 1024
"""Read at a time of what came back without its content; others' rows lie between."""
WINDOW_MESSAGES_MIN: Final = 1_024
WINDOW_BYTES_MIN: Final = 1024 * 1024


class Level(Backlog):
    """`id` is its number in the store, the upper part of each record's id."""

    def __init__(self, queue: Queue, id: int) -> None:
        self.id: Final = id
        # Ready, wherever they are. Counted, as looking at the three parts costs each message their memory.
        self._count: int = 0
        self._paged: int = 0
        self.next_position: int = 0
        # The highest position ever delivered, and where that stood when the broker started.
        self.delivered_to: int = -1
        self._delivered_before: int = -1
        self.moved: bool = False  # `delivered_to`, in this turn of the loop
        self.queue: Final = queue
        self._store: Final = queue.store
        self._pages: Final = queue.store.directory is not None
        self._window_messages: int = WINDOW_MESSAGES
        self._window_bytes: int = WINDOW_BYTES
        # In memory:
        self.returned: list[tuple[int, Message]] = []
        self.window: deque[Message] = deque()
        self.window_bytes: int = 0
        # In the store alone are `_paged`: of how many octets, and from which position on.
        self._paged_bytes: int = 0
        self._paged_from: int = 0
        self.ever_paged: bool = False
        self._body_bytes: int = 0
        self._loading: bool = False
        self._fetching: bool = False
        self._generation: int = 0

    @property
    def count(self) -> int:
        return self._count

    @property
    def body_bytes(self) -> int:
        return self._body_bytes

    @property
    def paged(self) -> int:
        return self._paged

    @property
    def paged_from(self) -> int:
        """The position of the first of these."""
        return self._paged_from

    @property
    def paged_bytes(self) -> int:
        """Octets of what only the store has, headers included."""
        return self._paged_bytes

    def level(self, priority: int) -> Level:
        return self

    def levels(self) -> list[Level]:
        return [self]

    def narrow(self, parts: int) -> None:
        """It is one of so many levels of its queue, which share the window's memory."""
        self._window_messages = max(WINDOW_MESSAGES_MIN, WINDOW_MESSAGES // parts)
        self._window_bytes = max(WINDOW_BYTES_MIN, WINDOW_BYTES // parts)

    def push(self, message: Message) -> None:
        """A new message, behind all others. It is kept in memory only while there is room in the window."""
        self._count += 1
        self._body_bytes += len(message.body)
        if self._paged or (self._pages and self._window_full()):
            self._page_out(message)
        else:
            self.window.append(message)
            self.window_bytes += message.size()

    def _window_full(self) -> bool:
        return len(self.window) >= self._window_messages or self.window_bytes >= self._window_bytes

    def _page_out(self, message: Message) -> None:
        if not self._paged:
            self._paged_from = message.position
        self._paged += 1
        self._paged_bytes += message.length()
        self.ever_paged = True
        if message.state == IDLE:
            message.transient = True
            self._store.add(message)

    def give_back(self, message: Message) -> None:
        """A message that was delivered and not acknowledged takes its old place."""
        self._count += 1
        self._body_bytes += message.body_bytes()
        if message.state == DURABLE:
            message.keep_among(len(self.returned))
        heapq.heappush(self.returned, (message.position, message))

    def head(self) -> Message | None:
        """The first message, or None: nothing is ready, or it is being read from the store."""
        if self.returned:
            message = self.returned[0][1]
            if not message.away:
                return message
            self._fetch(message.position)
            return None
        if self.window:
            return self.window[0]
        if self._paged:
            self._load()
        return None

    def pop(self) -> Message:
        """Take what `head` showed."""
        self._count -= 1
        if self.returned:
            message = heapq.heappop(self.returned)[1]
            self._body_bytes -= message.body_bytes()
            return message
        message = self.window.popleft()
        self._body_bytes -= len(message.body)
        self.window_bytes -= message.size()
        if self._paged and self._half_empty():
            self._load()
        return message

    def _half_empty(self) -> bool:
        return len(self.window) < self._window_messages // 2 and self.window_bytes < self._window_bytes // 2

    def pop_expired(self, now: int) -> Message | None:
        message = self.head()
        return self.pop() if message is not None and 0 < message.expires <= now else None

    def next_expiry(self) -> int:
        message = self.head()
        return 0 if message is None else message.expires

    def recover(self, messages: int, bytes_: int, delivered: int, last_position: int) -> None:
        """At start: everything is in the store."""
        self._count = self._paged = messages
        self._paged_bytes = self._body_bytes = bytes_
        self.delivered_to = self._delivered_before = delivered
        self.next_position = last_position + 1
        self.ever_paged = messages > 0

    def purge(self) -> list[Part]:
        if self._paged:
            last = self.next_position - 1
            self._store.purge(self.id, self._paged_from, last, self._paged, self._paged_bytes)
        return [self.clear()]

    def clear(self) -> Part:
        """Forget everything; returns what was in memory. The store's part is the caller's to delete."""
        gone = (self.returned, self.window)
        self.returned = []
        self.window = deque()
        self.window_bytes = 0
        self._count = 0
        self._paged = 0
        self._paged_bytes = 0
        self._body_bytes = 0
        self._loading = self._fetching = False
        self._generation += 1
        return gone

    def fetch(self, message: Message, call: Callable[[], None]) -> None:
        """Call once the message has its content again, unless the queue is deleted before. Nobody holds it meanwhile."""

        def fetched(rows: list[Row]) -> None:
            self.queue.counts.read += 1
            if not self.queue.deleted:
                message.regain(rows[0].data)
                call()

        self._store.load(self.id, message.position, 1, 1, fetched)

    def _fetch(self, position: int) -> None:
        """Read the content of messages that came back without it, from that position on."""
        if self._fetching:
            return
        self._fetching = True
        generation = self._generation

        def fetched(rows: list[Row]) -> None:
            if generation == self._generation:
                self._fetched(position, rows)

        self._store.load(self.id, position, FETCHED_MESSAGES, FETCHED_BYTES, fetched)

    def _fetched(self, position: int, rows: list[Row]) -> None:
        self._fetching = False
        data = {row.position: row.data for row in rows}
        if position not in data:
            raise StoreError(f"message {position} of queue '{self.queue.name}' is not in the store any more")
        last = rows[-1].position
        there: list[tuple[int, Message]] = []
        while self.returned and self.returned[0][0] <= last:
            there.append(heapq.heappop(self.returned))
        for entry in there:
            if entry[1].away and entry[0] in data:  # one that came back since may lie before what was read
                entry[1].regain(data[entry[0]])
            heapq.heappush(self.returned, entry)
        self.queue.loaded()

    def _load(self) -> None:
        if self._loading:
            return
        self._loading = True
        generation = self._generation

        def loaded(rows: list[Row]) -> None:
            if generation == self._generation:
                self._loaded(rows)

        self._store.load(self.id, self._paged_from, self._window_messages // 4, self._window_bytes // 4, loaded)

    def _loaded(self, rows: list[Row]) -> None:
        self._loading = False
        queue = self.queue
        queue.counts.read += len(rows)
        for row in rows:
            address, header, notes, body = decode_stored(row.data)
            scanned = scan(header)
            scanned.notes = notes
            message = Message(queue, self.id, row.position, address, header, body, scanned)
            message.state = DURABLE
            message.transient = row.transient
            message.deliveries = row.deliveries
            message.expires = row.expires
            message.redelivered = row.deliveries > 0 or row.position <= self._delivered_before
            self.window.append(message)
            self.window_bytes += message.size()
            self._paged_bytes -= len(row.data)
            self._paged_from = row.position + 1
        self._paged -= len(rows)
        if not rows:
            self._count -= self._paged
            self._paged = 0
            self._paged_bytes = 0
        queue.loaded()
