"""Whether a batch waits a moment before it is committed. Two kinds do:

- what is about to be acknowledged, for writing it is for nothing: while publishers run ahead (many of its messages wait for
  their confirm), consumers are acknowledging in every turn, and its queues have little on disk that would come first. One
  message, or the few of a publisher that awaits each confirm, never wait;
- a few acknowledgements alone, of which nobody is told: a message that comes next has not to wait until they are on disk, and
  is committed with them.

Used by store/store once per turn of the loop.
"""

from __future__ import annotations

from typing import Final

from leveret.store.batch import Batch

WAIT_MS: Final = 50
"""The longest that a confirm is delayed by this."""

ACKNOWLEDGED_MS: Final = 4
"""The longest that acknowledgements wait: what a crash may have delivered again besides what it does anyway."""

FEW_MESSAGES: Final = 128
"""Fewer are written at once: their publishers may be waiting for nothing else."""

AHEAD_MESSAGES: Final = 2_000
"""On disk in one queue: consumers have more to do before they come to what is gathered."""

BYTES_MAX: Final = 4 * 1024 * 1024
QUEUES_MAX: Final = 16


class Patience:
    """`stored` is how many messages each queue has on disk, by queue id."""

    def __init__(self, stored: dict[int, int]) -> None:
        self._stored = stored
        self._since_ms: int | None = None

    def waits(self, batch: Batch, now_ms: int) -> int:
        """How many ms more it waits at most. Asked at the end of a turn; begins anew with the next batch once it was 0."""
        acknowledged, batch.acknowledged = batch.acknowledged, 0
        most_ms = self._most_ms(batch, acknowledged)
        if most_ms:
            if self._since_ms is None:
                self._since_ms = now_ms
            left_ms = self._since_ms + most_ms - now_ms
            if left_ms > 0:
                return left_ms
        self._since_ms = None
        return 0

    def _most_ms(self, batch: Batch, acknowledged: int) -> int:
        """How long it may wait, all in all."""
        if not batch.count:
            return ACKNOWLEDGED_MS if batch.changes < FEW_MESSAGES else 0
        return WAIT_MS if acknowledged and self._worthwhile(batch) else 0

    def _worthwhile(self, batch: Batch) -> bool:
        return (
            batch.count >= FEW_MESSAGES
            and batch.pending_bytes < BYTES_MAX
            and len(batch.queues) <= QUEUES_MAX
            and all(self._stored.get(queue_id, 0) <= AHEAD_MESSAGES for queue_id in batch.queues)
        )
