"""The ready messages of one queue, behind the doors that broker/queue uses: in order, wherever they are.

Most queues have one broker/level; a queue with x-max-priority has several, see broker/priorities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.broker.leaving import Part
from leveret.broker.message import Message

if TYPE_CHECKING:
    from leveret.broker.level import Level


class Backlog:
    @property
    def count(self) -> int:
        """How many messages are ready."""
        raise NotImplementedError

    @property
    def body_bytes(self) -> int:
        """Octets of their bodies; after a restart, of what is stored of them."""
        raise NotImplementedError

    @property
    def paged(self) -> int:
        """How many of them only the store has."""
        raise NotImplementedError

    def level(self, priority: int) -> Level:
        """Where a message of that priority belongs."""
        raise NotImplementedError

    def levels(self) -> list[Level]:
        """All there are, the highest priority first."""
        raise NotImplementedError

    def head(self) -> Message | None:
        """The first message, or None: nothing is ready, or it is being read from the store."""
        raise NotImplementedError

    def pop(self) -> Message:
        """Take what `head` showed."""
        raise NotImplementedError

    def pop_expired(self, now: int) -> Message | None:
        """Take a message at the front that has expired, if there is one."""
        raise NotImplementedError

    def next_expiry(self) -> int:
        """When the next message at the front expires, in ms since the epoch; 0: none does."""
        raise NotImplementedError

    def purge(self) -> list[Part]:
        """Forget everything, and delete what only the store has; returns what was in memory."""
        raise NotImplementedError
