"""A broker at the other end of HTTP: RabbitMQ, or a Leveret in another process. Each question runs on a thread."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from leveret.dashboard.source import Access, Figures, Reads, path
from leveret.errors import ManagementError
from leveret.management.remote import Declined, Remote, remote

log = logging.getLogger("leveret.dashboard")

COLUMNS: Final = "vhost,name,messages_ready,messages_unacknowledged,consumers,message_stats"
INTERNAL_ERROR: Final = 500
WHO_SEES: Final = path("vhosts")
SEES: Final = frozenset(("management", "policymaker", "monitoring", "administrator"))
AGAIN_S: Final = 0.25
"""After so long what only looks is asked once more, if the broker failed to answer: RabbitMQ was seen to, once in a long while."""


class RemoteAccess:
    def __init__(self, at: Remote, tags: Sequence[str], amqp: str) -> None:
        self.user: str = at.user
        self.tags: Final[Sequence[str]] = tags
        self._at: Final = at
        self._amqp: Final = amqp
        self.lasts = True

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        where = f"{path}?{urlencode(query)}" if query else path
        try:
            return await self.ask("GET", where)
        except ManagementError as error:
            if isinstance(error, Declined) and error.status < INTERNAL_ERROR:
                raise
            log.info("%s, asked once more", error)
            await asyncio.sleep(AGAIN_S)
            return await self.ask("GET", where)

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        try:
            return await asyncio.to_thread(self._at.ask, method, path, body)
        except Declined as declined:
            if declined.status == 401 and path.partition("?")[0] == WHO_SEES:
                self.lasts = False  # each session asks that every few seconds
            raise

    def amqp_url(self, vhost: str) -> str:
        return with_user(self._amqp, self._at.user, self._at.password, vhost)


def with_user(url: str, user: str, password: str, vhost: str) -> str:
    """The same brokers, for another user and virtual host."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        parts._replace(
            netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{hosts}", path=f"/{quote(vhost, safe='')}"
        )
    )


class RemoteSource:
    """`management` is http://USER:PASSWORD@HOST:PORT, `url` a broker's for AMQP. ValueError if it is no URL."""

    local: Final = False

    def __init__(self, management: str, url: str) -> None:
        self._at: Final = remote(management)
        self._amqp: Final = url

    async def sign_in(self, user: str, password: str, near: bool) -> Access:
        at = replace(self._at, user=user, password=password)
        who = await asyncio.to_thread(at.ask, "GET", "/api/whoami")
        given = who.get("tags") or []
        tags = given if isinstance(given, list) else given.split(",")
        if not SEES.intersection(tags):
            raise Declined(
                "the broker", 401, f"user {user} may not use the management API: it lacks the tag management"
            )
        return RemoteAccess(at, tags, self._amqp)

    async def own(self) -> Access:
        """As whoever started the dashboard."""
        return await self.sign_in(self._at.user, self._at.password, True)

    async def may_write(self, access: Access) -> bool:
        """Who may do what is told to administrators only: to others the broker says itself what they may not."""
        granted = await self._granted(access)
        return granted is None or any(
            row["configure"] not in ("", "^$") or row["write"] not in ("", "^$") for row in granted
        )

    async def reads(self, access: Access) -> Reads:
        """Likewise: where it is not told, whoever sees a virtual host may read all that is remembered of it."""
        granted = await self._granted(access)
        if granted is None:
            return lambda vhost, queue: True
        patterns = {row["vhost"]: row["read"] for row in granted}
        return lambda vhost, queue: bool(patterns.get(vhost)) and re.search(patterns[vhost], queue) is not None

    async def _granted(self, access: Access) -> list[dict[str, str]] | None:
        """None if this is not told."""
        try:
            granted: list[dict[str, str]] = await asyncio.to_thread(
                self._at.ask, "GET", path("users", access.user, "permissions")
            )
        except Declined:
            return None
        return granted

    async def guest_opens(self) -> bool:
        """The dashboard's own machine is not the broker's: nobody is invited."""
        return False

    async def figures(self) -> list[Figures]:
        return await asyncio.to_thread(self._figures)

    def _figures(self) -> list[Figures]:
        rows = self._at.ask("GET", f"/api/queues?disable_stats=false&columns={COLUMNS}")
        if not isinstance(rows, list):
            raise ManagementError(f"{self._at.where}/api/queues did not answer with a list: is it a management API?")
        return [figures_of(row) for row in rows]


def figures_of(row: dict[str, Any]) -> Figures:
    """Of a queue in the API's words; RabbitMQ leaves out what it has not gathered yet."""
    stats = row.get("message_stats") or {}
    gone = [stats.get(name) for name in ("ack", "deliver_no_ack", "get_no_ack")]
    return Figures(
        row["vhost"],
        row["name"],
        row.get("messages_ready", 0),
        row.get("messages_unacknowledged", 0),
        row.get("consumers", 0),
        stats.get("publish"),
        None if all(one is None for one in gone) else sum(one or 0 for one in gone),
    )
