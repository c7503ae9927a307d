"""Time to live: when messages of a queue expire (x-message-ttl, expiration), and what happens then.

Only the front is looked at, as in RabbitMQ's classic queues: a message that may live longer holds back those behind it.
Used by broker/queue, which keeps the two values that every message asks for: `ttl_ms` and `expires_any`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.message import EXPIRED, Message

if TYPE_CHECKING:
    from leveret.broker.queue import Queue
    from leveret.broker.timers import Timer


class Expiry:
    def __init__(self, queue: Queue) -> None:
        self._queue: Final = queue
        self._timer_at: int = 0
        self._timer: Timer | None = None

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
        queue = self._queue
        backlog = queue.backlog
        now = queue.vhost.now
        message = backlog.pop_expired(now)
        while message is not None:
            queue.give_up(message, EXPIRED)
            message = backlog.pop_expired(now)
        due = backlog.next_expiry()
        if due and not (0 < self._timer_at <= due):
            self.end()
            self._timer_at = due
            self._timer = queue.vhost.timers.add(due, self._woken)

    def _woken(self) -> None:
        self.end()
        self.run()

    def end(self) -> None:
        """The queue is gone, or will be woken at another time."""
        self._timer_at = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
