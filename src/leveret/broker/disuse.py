"""The end of a queue that nobody uses (x-expires): no consumer, no declaration and no get for that long.

Publishing to it is no use of it. One timer per queue is enough: when it fires too early, it is set again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.queue import Queue


class Disuse:
    def __init__(self, queue: Queue) -> None:
        self._queue: Final = queue
        self._after_ms: int = 0
        self._used_at: int = queue.vhost.now

    def configure(self, settings: dict[str, object]) -> None:
        """A timer set for another duration ends by itself."""
        expires = settings.get("x-expires")
        after_ms = expires if isinstance(expires, int) else 0
        if after_ms == self._after_ms:
            return
        self._after_ms = after_ms
        if after_ms:
            self.used()
            self._watch()

    def used(self) -> None:
        """The queue was declared, got from, or lost its last consumer."""
        self._used_at = self._queue.vhost.now

    def _watch(self) -> None:
        after_ms = self._after_ms
        self._queue.vhost.timers.add(self._used_at + after_ms, lambda: self._check(after_ms))

    def _check(self, after_ms: int) -> None:
        queue = self._queue
        if queue.deleted or after_ms != self._after_ms:
            return
        if queue.consumers:
            self.used()
        if queue.vhost.now >= self._used_at + self._after_ms:
            queue.vhost.delete_queue(queue)
        else:
            self._watch()
