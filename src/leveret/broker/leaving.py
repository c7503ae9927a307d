"""Messages that leave memory after a purge or with their queue: if they are many, some in each turn of the loop.

They count no more from the beginning. Made by broker/queue out of what broker/level had in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.broker.message import SLICE_MESSAGES, Message

if TYPE_CHECKING:
    from leveret.broker.queue import Queue

Part = tuple[list[tuple[int, Message]], deque[Message]]
"""What a level had in memory: `returned` and `window`."""
AT_ONCE_MESSAGES: Final = 50 * SLICE_MESSAGES
"""More than a level has in its window: to drop one is little work."""


class Leaving:
    """`done` is called when the last of them is gone; that may be at once."""

    def __init__(self, queue: Queue, parts: list[Part], done: Callable[[], None]) -> None:
        self._queue: Final = queue
        self._parts: Final = parts
        self._done: Final = done

    def go(self) -> None:
        queue = self._queue
        left = AT_ONCE_MESSAGES
        while self._parts:
            returned, window = self._parts[-1]
            while left and returned:
                queue.drop(returned.pop()[1])
                left -= 1
            while left and window:
                queue.drop(window.popleft())
                left -= 1
            if returned or window:
                queue.vhost.commons.go_on(self.go)
                return
            self._parts.pop()
        self._done()
