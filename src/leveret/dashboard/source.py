"""Where the dashboard has its figures from, and how it acts: a Protocol with an implementation for each way to a broker.

Both speak RabbitMQ's management API (paths, field names), so that the pages are written once: remote_source over HTTP,
embedded by calls in the broker's own process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote


class Figures(NamedTuple):
    """What a queue says of itself at one moment. Counters are since its declaration, None while nobody has told."""

    vhost: str
    name: str
    ready: int
    unacked: int
    consumers: int
    published: int | None
    gone: int | None
    """Acknowledged, or delivered to consumers that do not acknowledge."""


Reads = Callable[[str, str], bool]
"""Whether somebody may read a queue's messages: its virtual host and name in."""


class Access(Protocol):
    """A broker as one user sees it. Raises management.remote's Declined (status, reason) and ManagementError."""

    user: str

    @property
    def tags(self) -> Sequence[str]:
        """What sort of user this is, in RabbitMQ's words."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What the API has at `path` (/api/…), decoded."""

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The same for what changes something."""

    @property
    def lasts(self) -> bool:
        """False once the user is known to be gone, or to have another password or no right to look any more."""

    def amqp_url(self, vhost: str) -> str:
        """For connections as this user."""


class Source(Protocol):
    @property
    def local(self) -> bool:
        """In the broker's own process."""

    async def sign_in(self, user: str, password: str, near: bool) -> Access:
        """Declined (401) if the password is wrong, or the user may not use the API. `near`: from this machine."""

    async def may_write(self, access: Access) -> bool:
        """Whether the user may change anything at all."""

    async def reads(self, access: Access) -> Reads:
        """What this user may read just now."""

    async def guest_opens(self) -> bool:
        """Whether guest:guest still opens the door."""

    async def figures(self) -> list[Figures]:
        """Of all queues."""


def path(*parts: str) -> str:
    """/api/ and the parts, each of which may hold any character."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)
