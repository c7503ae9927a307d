"""The dashboard in the broker's process: on its loop and its management port, by calls instead of requests.

Made by cli/broker, handed to server/http, which starts and stops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from leveret.dashboard.app import make_dashboard
from leveret.dashboard.source import Access, Figures, Reads
from leveret.history import History
from leveret.management.api import Api, may_look
from leveret.management.remote import Declined
from leveret.tasks.events import AnyEvent

Address = Callable[[str, str, str], str]
"""Of the broker, for AMQP: user, password and virtual host in, a URL out."""

GUEST: Final = "guest"
SLICE: Final = 250
"""Figures of so many queues are read before the others have their turn."""


class Inside:
    """One user's way to the broker."""

    def __init__(self, api: Api, user: str, password: str, password_hash: str, address: Address) -> None:
        self.user: str = user
        self._password_hash: Final = password_hash
        self._api: Final = api
        self._password: Final = password
        self._address: Final = address

    @property
    def tags(self) -> Sequence[str]:
        user = self._api.broker.users.get(self.user)
        return () if user is None else user.tags

    @property
    def lasts(self) -> bool:
        user = self._api.broker.users.get(self.user)
        return user is not None and user.password_hash == self._password_hash and may_look(user)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return await self._api.ask(self.user, "GET", path, query)

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        return await self._api.ask(self.user, method, path, body=body)

    def amqp_url(self, vhost: str) -> str:
        return self._address(self.user, self._password, vhost)


class EmbeddedSource:
    local: Final = True

    def __init__(self, api: Api, address: Address) -> None:
        self._api: Final = api
        self._address: Final = address

    async def sign_in(self, user: str, password: str, near: bool) -> Access:
        found = self._api.broker.users.authenticate(user, password, near)
        if found is None:
            raise Declined("the broker", 401, f"user {user} or its password is wrong")
        if not may_look(found):
            raise Declined("the broker", 401, f"user {user} may not look in here: it lacks the tag management")
        return Inside(self._api, user, password, found.password_hash, self._address)

    async def may_write(self, access: Access) -> bool:
        grants = (vhost.permissions.grants.get(access.user) for vhost in self._api.broker.vhosts.values())
        return any(
            grant is not None and any(grant.texts[kind] not in ("", "^$") for kind in ("configure", "write"))
            for grant in grants
        )

    async def reads(self, access: Access) -> Reads:
        vhosts = self._api.broker.vhosts

        def may(vhost: str, queue: str) -> bool:
            grant = vhosts[vhost].permissions.grants.get(access.user) if vhost in vhosts else None
            return grant is not None and grant.allows("read", queue)

        return may

    async def guest_opens(self) -> bool:
        found = self._api.broker.users.authenticate(GUEST, GUEST, True)
        return found is not None and may_look(found)

    async def figures(self) -> list[Figures]:
        found = []
        for vhost in list(self._api.broker.vhosts.values()):
            for number, queue in enumerate(list(vhost.queues.values()), 1):
                gone = queue.acknowledged + queue.counts.no_ack + queue.counts.got_no_ack
                found.append(
                    Figures(
                        vhost.name, queue.name, queue.ready, queue.unacked, len(queue.consumers), queue.published, gone
                    )
                )
                if number % SLICE == 0:
                    await asyncio.sleep(0)
        return found


class Embedded:
    """What server/http mounts beside the API."""

    def __init__(self, api: Api, address: Address) -> None:
        self._dashboard: Final = make_dashboard(EmbeddedSource(api, address))
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._dashboard.app(scope, receive, send)

    def remember(self, history: History) -> None:
        """It is its owner's to feed and to close."""
        self._dashboard.parts.history = history

    def hear(self, vhost: str, events: Sequence[AnyEvent], now: float) -> None:
        self._dashboard.parts.hearing.take(vhost, events)

    def start(self) -> None:
        parts = self._dashboard.parts
        self._tasks = [asyncio.create_task(parts.sampling.run()), asyncio.create_task(parts.hearing.run())]

    async def stop(self) -> None:
        self._dashboard.sessions.close()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
