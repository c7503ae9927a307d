"""Whether a batch waits a moment before it is committed: when it is about to be acknowledged, writing it is for nothing.

It waits while publishers run ahead (many of its messages wait for their confirm), consumers are acknowledging in every
turn, and its queues have little on disk that would come first. One message, or the few of a publisher that awaits each
confirm, never wait. Used by store/store once per turn of the loop.
"""

from __future__ import annotations

from typing import Final

from leveret.store.batch import Batch

WAIT_MS: Final = 50
"""The longest that a confirm is delayed by this."""

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

    def waits(self, batch: Batch, now_ms: int) -> bool:
        """Asked at the end of a turn; begins anew with the next batch once it was False."""
        acknowledged, batch.acknowledged = batch.acknowledged, 0
        if acknowledged and self._worthwhile(batch):
            if self._since_ms is None:
                self._since_ms = now_ms
            if now_ms - self._since_ms < WAIT_MS:
                return True
        self._since_ms = None
        return False

    def _worthwhile(self, batch: Batch) -> bool:
        return (
            batch.count >= FEW_MESSAGES
            and batch.pending_bytes < BYTES_MAX
            and len(batch.queues) <= QUEUES_MAX
            and all(self._stored.get(queue_id, 0) <= AHEAD_MESSAGES for queue_id in batch.queues)
        )
