"""Who is signed in: tokens that browsers hold in a cookie, and what they stand for. In memory; a restart signs everybody out."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from leveret.dashboard.ask import Refused
from leveret.dashboard.source import Access, Source, path

IDLE_S: Final = 12 * 3600.0
SESSIONS_MAX: Final = 1_000
ATTEMPTS_MAX: Final = 8
STREAMS_MAX: Final = 50
"""Pages that one session has open."""

SEEN_S: Final = 10.0
"""So long a list of virtual hosts is taken for true."""


class Session:
    def __init__(self, access: Access, may_write: bool, now: float) -> None:
        self.access: Final = access
        self.may_write: Final = may_write
        self.used = now
        self._vhosts: frozenset[str] = frozenset()
        self._asked = 0.0
        self._streams = 0

    async def followed(self, news: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What one open page is sent, counted until it is closed."""
        self._streams += 1
        try:
            async for piece in news:
                yield piece
        finally:
            self._streams -= 1

    def check_room(self) -> None:
        """Refused (429) if it follows as much as it may."""
        if self._streams >= STREAMS_MAX:
            raise Refused(429, f"{STREAMS_MAX} pages are open: close one")

    async def vhosts(self, now: float) -> frozenset[str]:
        """The virtual hosts whose things the user may see."""
        if now - self._asked > SEEN_S or not self._asked:
            rows = await self.access.get(path("vhosts"))
            self._vhosts, self._asked = frozenset(row["name"] for row in rows), now
        return self._vhosts


class Sessions:
    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self._source: Final = source
        self._clock: Final = clock
        self._sessions: dict[str, Session] = {}
        self._attempts: Counter[str] = Counter()
        self._invitation: tuple[str, Access] | None = None

    def find(self, token: str) -> Session | None:
        session = self._sessions.get(token)
        now = self._clock()
        if session is None or now - session.used > IDLE_S or not session.access.lasts:
            self._sessions.pop(token, None)
            return None
        session.used = now
        return session

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """While somebody there tries to sign in. Refused (429) beyond so many at once: whoever guesses passwords tries many."""
        if self._attempts[address] >= ATTEMPTS_MAX:
            raise Refused(429, "too many try to sign in from there at once: try again in a moment")
        self._attempts[address] += 1
        try:
            yield
        finally:
            self._attempts[address] -= 1
            if not self._attempts[address]:
                del self._attempts[address]

    async def sign_in(self, user: str, password: str, near: bool) -> str:
        """The new session's token. Declined if the broker does not let this user in."""
        return await self._begin(await self._source.sign_in(user, password, near))

    def invite(self, access: Access) -> str:
        """A word that opens a session of this user, once."""
        word = secrets.token_urlsafe(24)
        self._invitation = (word, access)
        return word

    async def accept(self, word: str) -> str | None:
        """The new session's token, or None: it is not the word, or was used before."""
        invitation = self._invitation
        if invitation is None or not secrets.compare_digest(word.encode(), invitation[0].encode()):
            return None
        self._invitation = None
        return await self._begin(invitation[1])

    def end(self, token: str) -> None:
        self._sessions.pop(token, None)

    def close(self) -> None:
        """Nobody is signed in any more: what browsers watch ends."""
        self._sessions.clear()

    async def _begin(self, access: Access) -> str:
        may_write = await self._source.may_write(access)
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda token: self._sessions[token].used)]
        token = secrets.token_urlsafe(32)
        self._sessions[token] = Session(access, may_write, self._clock())
        return token
