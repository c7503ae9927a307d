"""Time to live: when messages of a queue expire (x-message-ttl, expiration), and what happens then.

Only the front is looked at, as in RabbitMQ's classic queues: a message that may live longer holds back those behind it.
When very many expire at once they go in slices, one a turn of the loop, and meanwhile nothing is delivered.
Used by broker/queue, which keeps the two values that every message asks for: `ttl_ms` and `expires_any`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.message import EXPIRED, SLICE_MESSAGES, Message

if TYPE_CHECKING:
    from leveret.broker.queue import Queue
    from leveret.broker.timers import Timer


class Expiry:
    def __init__(self, queue: Queue) -> None:
        self._queue: Final = queue
        self._timer_at: int = 0
        self._timer: Timer | None = None
        self.behind: bool = False
        """There may be more at the front that has expired: it goes in the turns that follow."""

    def limit(self, message: Message, expiration_ms: int) -> None:
        """The lower of the queue's and the message's own time to live holds (-1: it has none)."""
        queue = self._queue
        ttl = queue.ttl_ms
        if ttl < 0 or 0 <= expiration_ms < ttl:
            ttl = expiration_ms
        message.expires = max(1, queue.vhost.now + ttl)
        queue.expires_any = True

    def run(self) -> None:
        """Give up what has expired at the front, and ask to be woken when the next message there does."""
        if not self.behind:
            self._give_up(SLICE_MESSAGES)

    def _give_up(self, most: int) -> None:
        queue = self._queue
        backlog = queue.backlog
        now = queue.vhost.now
        message = backlog.pop_expired(now) if most else None
        while message is not None:
            queue.give_up(message, EXPIRED)
            most -= 1
            message = backlog.pop_expired(now) if most else None
        self.behind = not most
        due = now + 1 if self.behind else backlog.next_expiry()
        if due and not (0 < self._timer_at <= due):
            self.end()
            self._timer_at = due
            self._timer = queue.vhost.timers.add(due, self._woken)

    def _woken(self) -> None:
        self.end()
        was_behind = self.behind
        self._give_up(0 if was_behind and self._queue.store.crowded else SLICE_MESSAGES)
        if was_behind and not self.behind:
            self._queue.loaded()

    def end(self) -> None:
        """The queue is gone, or will be woken at another time."""
        self._timer_at = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
