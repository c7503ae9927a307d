"""The publisher confirms of one channel: which sequence numbers are settled, and what to tell the publisher.

Messages become safe out of order; one `basic.ack` with multiple covers everything up to the first gap. Written to by
broker/vhost and Message.on_durable, emptied by the server once per loop turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.channel import Channel


class Confirms:
    def __init__(self, channel: Channel) -> None:
        self.channel: Final = channel
        self.published: int = 0
        # Every number up to `floor` is settled and told; `settled` holds those above it.
        self.floor: int = 0
        self.settled: set[int] = set()
        self.fresh: list[int] = []
        # Numbers that a queue did not take: nacked when all queues have reported.
        self.refused: set[int] = set()
        # Messages routed to several queues: how many have still to report.
        self.copies: dict[int, int] = {}

    def next(self) -> int:
        """The number of the next published message, from 1."""
        self.published += 1
        return self.published

    def expect(self, sequence: int, copies: int) -> None:
        """`sequence` went to `copies` queues: it is settled when all of them have settled it."""
        if copies > 1:
            self.copies[sequence] = copies

    def divert(self, sequence: int, copies: int) -> None:
        """One queue passes `sequence` on to `copies` others, which report in its place."""
        if copies == 0:
            self.settle(sequence)
        elif copies > 1:
            self.copies[sequence] = self.copies.get(sequence, 1) + copies - 1

    def settle(self, sequence: int) -> None:
        """One queue has the message safe, or needs it no more."""
        if self.copies:
            left = self.copies.get(sequence, 1) - 1
            if left:
                self.copies[sequence] = left
                return
            self.copies.pop(sequence, None)
        self._done(sequence)

    def refuse(self, sequence: int) -> None:
        """One queue did not take the message: it will be nacked."""
        self.refused.add(sequence)
        self.settle(sequence)

    def _done(self, sequence: int) -> None:
        self.settled.add(sequence)
        self.fresh.append(sequence)
        if len(self.fresh) == 1:
            self.channel.peer.confirms_ready(self.channel)

    @property
    def outstanding(self) -> int:
        return self.published - self.floor - len(self.settled)

    def take(self) -> tuple[list[int], int, list[int]]:
        """What to send now, once: nacks, the number up to which all is acked (0: none), and single acks above it."""
        first = self.floor
        settled = self.settled
        while self.floor + 1 in settled:
            self.floor += 1
            settled.discard(self.floor)
        fresh = self.fresh
        self.fresh = []
        refused = [number for number in fresh if number in self.refused] if self.refused else []
        if refused:
            self.refused.difference_update(refused)
            return refused, 0, sorted(set(fresh).difference(refused))
        upto = self.floor if self.floor > first else 0
        return refused, upto, [number for number in fresh if number > self.floor] if settled else []
