"""The end of a queue that nobody uses (x-expires): no consumer, no declaration and no get for that long.

Publishing to it is no use of it. One timer per queue is enough: when it fires too early, it is set again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.queue import Queue
    from leveret.broker.timers import Timer


class Disuse:
    def __init__(self, queue: Queue) -> None:
        self._queue: Final = queue
        self._after_ms: int = 0
        self._used_at: int = queue.vhost.now
        self._timer: Timer | None = None

    def configure(self, settings: dict[str, object]) -> None:
        expires = settings.get("x-expires")
        after_ms = expires if isinstance(expires, int) else 0
        if after_ms == self._after_ms:
            return
        self._after_ms = after_ms
        self.end()
        if after_ms:
            self.used()
            self._watch()

    def end(self) -> None:
        """The queue is gone, or may be unused for another time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def used(self) -> None:
        """The queue was declared, got from, or lost its last consumer."""
        self._used_at = self._queue.vhost.now

    def _watch(self) -> None:
        self._timer = self._queue.vhost.timers.add(self._used_at + self._after_ms, self._check)

    def _check(self) -> None:
        queue = self._queue
        if queue.consumers:
            self.used()
        if queue.vhost.now >= self._used_at + self._after_ms:
            queue.vhost.delete_queue(queue)
        else:
            self._watch()
