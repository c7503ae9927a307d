"""One question of a page: what its path and body say, who asks, and what the answer may be taken from.

A page (pages/NAME.py) has a TABLE by path below /ui/, where * stands for one name, and by method, of functions that take
an `Ask` and return what becomes JSON. Called by app, and by live for what browsers watch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote

from leveret.board.board import Board
from leveret.dashboard.holding import Memory
from leveret.errors import AMQPError, LeveretError, ManagementError
from leveret.management.remote import Declined

if TYPE_CHECKING:
    from leveret.dashboard.hearing import Hearing
    from leveret.dashboard.sampling import Sampling
    from leveret.dashboard.sessions import Session
    from leveret.dashboard.source import Access, Source
    from leveret.history import History

Function = Callable[["Ask"], Awaitable[Any]]
Table = Mapping[str, Mapping[str, Function]]
F = TypeVar("F", bound=Function)

NOT_FOUND: Final = 404
STATUSES: Final = {401: 403}
"""What the broker says to a user who is signed in, and means: not this one. 401 would have the page ask who is there."""
DIGITS_MAX: Final = 18


class Refused(LeveretError):
    """It is not done; `reason` is for whoever asked."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(slots=True)
class Parts:
    """What the whole dashboard shares. `history`: None if nothing is kept for longer."""

    source: Source
    sampling: Sampling
    hearing: Hearing
    history: History | None
    clock: Callable[[], float]
    held: Memory = field(default_factory=Memory)


@dataclass(frozen=True, slots=True)
class Ask:
    parts: Parts
    session: Session
    names: tuple[str, ...] = ()
    """What the pattern's stars stand for."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> Access:
        """The broker as whoever asks sees it."""
        return self.session.access

    @property
    def sampling(self) -> Sampling:
        return self.parts.sampling

    @property
    def history(self) -> History | None:
        """None if nothing is kept for longer."""
        return self.parts.history

    @property
    def now(self) -> float:
        return self.parts.clock()

    async def vhosts(self) -> frozenset[str]:
        return await self.session.vhosts(self.now)

    async def boards(self) -> dict[str, Board]:
        """What events told, by virtual host, as far as the user may see it."""
        seen = await self.vhosts()
        return {vhost: board for vhost, board in self.parts.hearing.boards.items() if vhost in seen}

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 in the query. Refused (400) if it is something else."""
        text = self.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX) or int(text) < 1:
            raise Refused(400, f"{name} is {text!r}, expected a number from 1")
        return min(int(text), most)

    def text(self, name: str) -> str:
        """A field of the body. Refused (400) if it is not there or no text."""
        value = self.body.get(name)
        if not isinstance(value, str):
            raise Refused(400, f"{name} is missing, or no text")
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        """A field of the body. Refused (400) if it is not there or no number within these bounds."""
        value = self.body.get(name)
        if type(value) is not int or not least <= value <= most:
            raise Refused(400, f"{name} has to be a number from {least} to {most}")
        return value


def watched(every_s: float = 1.0) -> Callable[[F], F]:
    """What a GET function answers may be watched by browsers: it is asked again so often, and what changed is sent."""

    def mark(function: F) -> F:
        function.watched_s = every_s  # type: ignore[attr-defined]
        return function

    return mark


class Routes:
    """Finds the functions for a path as it was sent: %2F is the slash of a name."""

    def __init__(self, *tables: Table) -> None:
        merged: dict[str, dict[str, Function]] = {}
        for table in tables:
            for path, methods in table.items():
                merged.setdefault(path, {}).update(methods)
        # Of two that fit, the one with fewer stars is meant.
        self._rows = sorted(
            ((path.split("/"), methods) for path, methods in merged.items()), key=lambda row: row[0].count("*")
        )

    def find(self, path: str) -> tuple[Mapping[str, Function], tuple[str, ...]]:
        """The functions by method, and what the stars stand for. Refused (404) if there is no such path."""
        parts = [unquote(part) for part in path.split("/")]
        for pattern, methods in self._rows:
            if len(pattern) == len(parts) and all(one in ("*", part) for one, part in zip(pattern, parts, strict=True)):
                return methods, tuple(part for one, part in zip(pattern, parts, strict=True) if one == "*")
        raise Refused(NOT_FOUND, "there is no such page")


def refusal(error: Exception) -> Refused:
    """Why it was not done, with a status of HTTP. Raises what is nobody's fault but ours."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Declined):
        return Refused(STATUSES.get(error.status, error.status if error.status < 500 else 502), error.reason)
    if isinstance(error, AMQPError):
        return Refused(error.code if error.code in (403, NOT_FOUND) else 409, error.text)
    if isinstance(error, ManagementError):
        return Refused(502, str(error))
    if isinstance(error, LeveretError):
        return Refused(409, str(error))
    if isinstance(error, KeyError):
        return Refused(NOT_FOUND, "there is no such thing")
    raise error
