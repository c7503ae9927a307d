"""A channel's transaction: what it published and acknowledged since tx.select, the last commit or the last rollback.

broker/channel and broker/router put things in here instead of doing them; server/verbs commits or rolls back. Confirms of
its own tell when what was committed is safe: commit-ok waits for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.broker.confirms import Confirms
from leveret.broker.message import OVERHEAD_BYTES

if TYPE_CHECKING:
    from leveret.broker.channel import Channel
    from leveret.broker.deliveries import Block
    from leveret.broker.exchange import Destination
    from leveret.wire.events import Address

Published = tuple["Address", bytes, bytes, int, list[str], list["Destination"]]
"""Address, header, body, own time to live in ms or -1, names of the queues, and lines of delayed exchanges."""


class Transaction:
    def __init__(self, channel: Channel) -> None:
        self.confirms: Final = Confirms(channel)
        self._peer: Final = channel.peer
        self._octets: int = 0
        self.publishes: list[Published] = []
        self.settled: list[tuple[list[Block], int]] = []
        self.committing: bool = False

    def publish(self, published: Published) -> None:
        """To be published when it is committed; until then it counts as unfinished."""
        octets = OVERHEAD_BYTES + len(published[1]) + len(published[2])
        self._octets += octets
        self._peer.uncommitted += octets
        self.publishes.append(published)

    @property
    def settled_count(self) -> int:
        """How many messages it has acknowledged or rejected."""
        return sum([len(block) for blocks, _ in self.settled for block in blocks])

    def take_settled(self) -> list[tuple[list[Block], int]]:
        """The messages acknowledged or rejected, in order, each list with what is to happen to it."""
        settled = self.settled
        self.settled = []
        return settled

    def take_publishes(self) -> list[Published]:
        self._peer.uncommitted -= self._octets
        self._octets = 0
        publishes = self.publishes
        self.publishes = []
        return publishes

    def finished(self) -> bool:
        """True once, when a commit was asked for and all of it is safe."""
        if self.committing and not self.confirms.outstanding:
            self.committing = False
            return True
        return False
