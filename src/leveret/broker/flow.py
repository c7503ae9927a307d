"""Flow control between publishers and a queue whose consumers are busy taking from it.

A publisher without confirms can outrun any consumer, and what outruns memory has to be written and read back, which is
slower for both. So while consumers take fast, the queue does not read from those that fill it until its window is nearly
empty, or twice as much was taken as they had brought. Consumers that are slow by nature hold nobody back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.peer import Peer
    from leveret.broker.queue import Queue

FULL_MESSAGES: Final = 8_192
DRAINED_MESSAGES: Final = 2_048
TICK_MS: Final = 20
FAST_MESSAGES: Final = 500
"""Taken in a tick by consumers for which it is worth waiting."""
SLOW_TICKS: Final = 5
"""So many ticks in a row without that: they are slow, not just waiting for a processor."""
RETRY_MS: Final = 1_000


class Flow:
    def __init__(self, queue: Queue) -> None:
        self._queue: Final = queue
        self.held: list[Peer] = []
        self._not_before: int = 0
        self._holds: int = 0
        self._slow: int = 0
        # The queue's counters: published at the last release; delivered at the last tick; to be delivered for a release.
        self._published: int = 0
        self._delivered: int = 0
        self._enough: int = 0

    def full(self, peer: Peer) -> None:
        """`peer` published into a full window: it is not read from for a moment, if that can help."""
        queue = self._queue
        now = queue.vhost.now
        if not queue.consumers or now < self._not_before or peer in self.held:
            return
        if not self.held:
            self._holds += 1
            self._slow = 0
            self._delivered = queue.delivered
            self._enough = queue.delivered + 2 * (queue.published - self._published)
            self._watch(self._holds)
        self.held.append(peer)
        peer.hold()

    def _watch(self, hold: int) -> None:
        vhost = self._queue.vhost
        vhost.timers.add(vhost.now + TICK_MS, lambda: self._tick(hold))

    def _tick(self, hold: int) -> None:
        if not self.held or hold != self._holds:
            return
        delivered = self._queue.delivered
        self._slow = self._slow + 1 if delivered - self._delivered < FAST_MESSAGES else 0
        if self._slow >= SLOW_TICKS:
            self._not_before = self._queue.vhost.now + RETRY_MS
            self.release()
        else:
            self._delivered = delivered
            self._watch(hold)

    def taken(self) -> None:
        """Consumers took messages while publishers are held."""
        queue = self._queue
        if queue.delivered >= self._enough or queue.backlog.count < DRAINED_MESSAGES:
            self.release()

    def release(self) -> None:
        self._published = self._queue.published
        held = self.held
        self.held = []
        for peer in held:
            peer.release()
