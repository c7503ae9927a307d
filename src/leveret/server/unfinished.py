"""What clients have begun to send and not ended, of all connections together: parts of frames and messages, and transactions.

Nothing else bounds it: each message may be large, and each connection may have one under way on every channel, for ever. Told by
server/protocol after whatever arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.server.session import Session


class Unfinished:
    """Beyond `bytes_max`, of the user who has most of it, the connection that has most of it is closed."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.total = 0
        self._held: dict[Session, int] = {}

    def changed(self, session: Session, octets: int) -> None:
        self.total += octets - self._held.pop(session, 0)
        if octets:
            self._held[session] = octets
        while self.total > self.bytes_max:
            self._end(self._greediest())

    def _greediest(self) -> Session:
        users: dict[str, int] = {}
        for session, octets in self._held.items():
            users[session.user] = users.get(session.user, 0) + octets
        user = max(users, key=lambda name: users[name])
        return max((one for one in self._held if one.user == user), key=lambda one: self._held[one])

    def _end(self, session: Session) -> None:
        octets = self._held.pop(session)
        self.total -= octets
        session.wire.drop_all_content()
        if session.router is None:
            session.end("too much was sent before the connection was open")
        else:
            text = f"{octets} octets of frames, messages or transactions were begun and not finished"
            session.close(506, f"RESOURCE_ERROR - {text}: all connections together may have {self.bytes_max}")
