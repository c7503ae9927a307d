"""The length limit of a queue (x-max-length, x-max-length-bytes, x-overflow): counts ready messages only.

What is over is dropped from the front, or not taken in at all (reject-publish: the publisher's confirm is a nack).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.message import MAXLEN, SLICE_MESSAGES

if TYPE_CHECKING:
    from leveret.broker.backlog import Backlog
    from leveret.broker.queue import Queue


class Limit:
    """-1: no limit."""

    def __init__(self, arguments: dict[str, object]) -> None:
        messages = arguments.get("x-max-length")
        size = arguments.get("x-max-length-bytes")
        self._messages: Final = messages if isinstance(messages, int) else -1
        self._bytes: Final = size if isinstance(size, int) else -1
        limited = self._messages >= 0 or self._bytes >= 0
        rejects = arguments.get("x-overflow") in ("reject-publish", "reject-publish-dlx")
        self.rejects: Final = limited and rejects
        self.buries: Final = limited and arguments.get("x-overflow") == "reject-publish-dlx"
        self.drops: Final = limited and not rejects

    def exceeded(self, backlog: Backlog) -> bool:
        return 0 <= self._messages < backlog.count or 0 <= self._bytes < backlog.body_bytes

    def full(self, backlog: Backlog, body_bytes: int) -> bool:
        """Is there no room for another message?"""
        return 0 <= self._messages <= backlog.count or 0 <= self._bytes < backlog.body_bytes + body_bytes


UNLIMITED: Final = Limit({})
"""Shared by all queues without a limit: that a message asks about it costs no memory of the queue's own."""


def limit_of(settings: dict[str, object]) -> Limit:
    """The limit that the arguments of a queue ask for."""
    return Limit(settings) if "x-max-length" in settings or "x-max-length-bytes" in settings else UNLIMITED


class Excess:
    """What a queue has beyond its limit. The oldest ready messages go; if they are many, some in each turn of the loop."""

    def __init__(self, queue: Queue) -> None:
        self._queue: Final = queue
        self._under_way: bool = False

    def drop(self) -> None:
        if self._under_way:
            return
        queue = self._queue
        backlog = queue.backlog
        left = SLICE_MESSAGES
        while queue.limit.drops and queue.limit.exceeded(backlog) and backlog.head() is not None:
            if not left:
                self._under_way = True
                queue.vhost.commons.go_on(self._go_on)
                return
            left -= 1
            queue.give_up(backlog.pop(), MAXLEN)

    def _go_on(self) -> None:
        self._under_way = False
        if not self._queue.deleted:
            self.drop()
