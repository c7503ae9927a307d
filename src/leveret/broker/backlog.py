"""The ready messages of one queue in the order of their positions, wherever they are.

Three parts, in this order: `returned` (were delivered and came back: a heap by position), `window` (in memory), and
the paged rest, which only the store has. The window is bounded in messages and bytes; it is filled again from the store
when it is half empty. Owned by broker/queue, which decides who gets what.

Invariant: every position in `returned` < every position in `window` < every paged position. A message is delivered only
from the front, so what comes back always belongs before what was never delivered.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Final

from leveret.broker.message import Message, decode_stored
from leveret.store.batch import DURABLE, IDLE
from leveret.wire.scan import scan

if TYPE_CHECKING:
    from leveret.broker.queue import Queue
    from leveret.store.database import Row
    from leveret.store.store import Store

WINDOW_MESSAGES: Final = 32_768
WINDOW_BYTES: Final = 16 * 1024 * 1024


class Backlog:
    def __init__(self, queue: Queue, store: Store) -> None:
        self._queue: Final = queue
        self._store: Final = store
        self._pages: Final = store.directory is not None
        # In memory:
        self.returned: list[tuple[int, Message]] = []
        self.window: deque[Message] = deque()
        self.window_bytes: int = 0
        # In the store alone: how many, and from which position on.
        self.paged: int = 0
        self.paged_bytes: int = 0
        self.paged_from: int = 0
        self.ever_paged: bool = False
        # Octets of the bodies of all ready messages; after a restart, of what is stored of them.
        self.bytes: int = 0
        self._loading: bool = False
        self._generation: int = 0

    @property
    def count(self) -> int:
        return len(self.returned) + len(self.window) + self.paged

    def push(self, message: Message) -> None:
        """A new message, behind all others. It is kept in memory only while there is room in the window."""
        self.bytes += len(message.body)
        if self.paged or (self._pages and (len(self.window) >= WINDOW_MESSAGES or self.window_bytes >= WINDOW_BYTES)):
            self._page_out(message)
        else:
            self.window.append(message)
            self.window_bytes += message.size()

    def _page_out(self, message: Message) -> None:
        if not self.paged:
            self.paged_from = message.position
        self.paged += 1
        self.paged_bytes += message.length()
        self.ever_paged = True
        if message.state == IDLE:
            message.transient = True
            self._store.add(message)

    def give_back(self, message: Message) -> None:
        """A message that was delivered and not acknowledged takes its old place."""
        self.bytes += len(message.body)
        heapq.heappush(self.returned, (message.position, message))

    def head(self) -> Message | None:
        """The first message, or None: nothing is ready, or it is being read from the store."""
        if self.returned:
            return self.returned[0][1]
        if self.window:
            return self.window[0]
        if self.paged:
            self._load()
        return None

    def pop(self) -> Message:
        """Take what `head` showed."""
        if self.returned:
            message = heapq.heappop(self.returned)[1]
            self.bytes -= len(message.body)
            return message
        message = self.window.popleft()
        self.bytes -= len(message.body)
        self.window_bytes -= message.size()
        if self.paged and len(self.window) < WINDOW_MESSAGES // 2 and self.window_bytes < WINDOW_BYTES // 2:
            self._load()
        return message

    def recover(self, messages: int, bytes_: int) -> None:
        """At start: everything is in the store."""
        self.paged = messages
        self.bytes = bytes_
        self.paged_bytes = bytes_
        self.ever_paged = True

    def clear(self) -> list[Message]:
        """Forget everything; returns what was in memory. The store's part is the caller's to delete."""
        gone = [message for _, message in self.returned]
        gone.extend(self.window)
        self.returned = []
        self.window = deque()
        self.window_bytes = 0
        self.paged = 0
        self.paged_bytes = 0
        self.bytes = 0
        self._loading = False
        self._generation += 1
        return gone

    def _load(self) -> None:
        if self._loading:
            return
        self._loading = True
        generation = self._generation

        def loaded(rows: list[Row]) -> None:
            if generation == self._generation:
                self._loaded(rows)

        self._store.load(self._queue.id, self.paged_from, WINDOW_MESSAGES // 2, WINDOW_BYTES // 2, loaded)

    def _loaded(self, rows: list[Row]) -> None:
        self._loading = False
        queue = self._queue
        for row in rows:
            address, header, body = decode_stored(row.data)
            message = Message(queue, row.position, address, header, body, scan(header))
            message.state = DURABLE
            message.transient = row.transient
            message.deliveries = row.deliveries
            message.expires = row.expires
            message.redelivered = row.deliveries > 0 or row.position <= queue.delivered_before
            self.window.append(message)
            self.window_bytes += message.size()
            self.paged_bytes -= len(row.data)
            self.paged_from = row.position + 1
        self.paged -= len(rows)
        if not rows:
            self.paged = 0
            self.paged_bytes = 0
        queue.loaded()
