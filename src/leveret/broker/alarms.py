"""The memory and disk alarms: while one is on, connections that publish are not read from; consumers go on.

Measuring is the server's business (server/watch), blocking a connection its session's. Figures are kept for management.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.broker.peer import Peer


class Alarms:
    """`on` is what a session looks at whenever something arrives."""

    def __init__(self, peers: dict[int, Peer]) -> None:
        self._peers: Final = peers
        self.memory: bool = False
        self.disk: bool = False
        self.on: bool = False
        # As measured last, in octets; 0 is not known.
        self.memory_used: int = 0
        self.memory_limit: int = 0
        self.disk_free: int = 0
        self.disk_limit: int = 0

    def set(self, memory: bool, disk: bool) -> None:
        """Which alarms are on from now on. With the last of them gone, blocked connections go on."""
        before = self.on
        if memory and not self.memory:
            for peer in list(self._peers.values()):
                peer.spare_memory()
        self.memory = memory
        self.disk = disk
        self.on = memory or disk
        if before and not self.on:
            for peer in list(self._peers.values()):
                peer.unblock()

    @property
    def reason(self) -> str:
        """As connection.blocked says it."""
        sources = (("disk", self.disk), ("memory", self.memory))
        return "low on " + " & ".join(name for name, on in sources if on)
