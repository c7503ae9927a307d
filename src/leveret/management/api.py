"""The API itself, for whoever asks: management/app over HTTP, and the dashboard in the broker's own process, without a socket.

What is at each path stands in the tables of TABLES, and of management/endpoints, which management/tenants and parameters fill.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from leveret.broker.broker import Broker
from leveret.broker.users import User
from leveret.management import (
    clients,
    endpoints,
    health,
    memory,
    messages,
    node,
    parameters,
    process,
    tenants,
    topology,
    vhosts,
    whereabouts,
)
from leveret.management.about import Node
from leveret.management.calls import (
    Action,
    Call,
    Paths,
    created,
    decoded,
    error,
    perform,
    received,
    reply_in_turns,
)
from leveret.management.endpoints import Refused
from leveret.management.remote import Declined
from leveret.management.sampling import Sampling

MAY_LOOK: Final = frozenset(("management", "policymaker", "monitoring", "administrator"))
"""The tags with which a user may use this API at all."""


def administration(function: endpoints.Function, method: str) -> Action:
    """A function of the table in management/endpoints: what it shows, or whether it made something."""

    async def act(call: Call) -> object:
        shown = function(endpoints.Call(call.broker, call.user, call.names, call.body))
        if isinstance(shown, Iterator):
            await call.sliced(shown)
            shown = None
        return shown if method == "GET" else await created(call.broker, bool(shown))

    return act


assert parameters and tenants, "imported because they fill the table"
ADMINISTRATION = {
    "/".join(path): {method: administration(function, method) for method, function in functions.items()}
    for path, functions in endpoints.TABLE.items()
}


TABLES: Final = (
    ADMINISTRATION,
    topology.TABLE,
    vhosts.TABLE,
    messages.TABLE,
    whereabouts.TABLE,
    clients.TABLE,
    node.TABLE,
)


class Api:
    """`turn` is called before anything is done: it tells the broker the time, and what it has to do is done after.

    `body_bytes_max`: of a request, and of what one `get` takes.
    """

    def __init__(
        self, broker: Broker, turn: Callable[[], None], about: Node, body_bytes_max: int, sample_s: float = 5.0
    ) -> None:
        self.broker: Final = broker
        self.turn: Final = turn
        self.sampling: Final = Sampling(broker, lambda: process.figures(broker), sample_s)
        self.remember: memory.Remember | None = None
        """What a history is asked, if there is one."""
        own = memory.memory_table(lambda: self.remember)
        self._paths: Final = Paths(*TABLES, node.node_table(about), health.health_table(about), own)
        self._body_bytes_max: Final = body_bytes_max

    async def answer(self, user: User, request: Request) -> Response:
        """A request over HTTP, from someone who is who he says."""
        try:
            sent: bytes = request.scope.get("raw_path") or request.url.path.encode()
            methods, names = self._paths.find(sent.decode("ascii", "replace"))
            action = methods.get("GET" if request.method == "HEAD" else request.method)
            if action is None:
                return Response(status_code=405, headers={"Allow": ", ".join(["HEAD", *methods, "OPTIONS"])})
            body = await received(request, self._body_bytes_max)
            value = await self._perform(
                action, user, names, request.query_params, request.headers, partial(decoded, body)
            )
            return value if isinstance(value, Response) else await reply_in_turns(value, self.turn)
        except Refused as refusal:
            return error(refusal.status, refusal.error, refusal.reason)

    async def ask(
        self,
        user: str,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """What HTTP would answer this user, decoded; None if that is nothing. Declined has the status and the reason.

        `path` as in a URL, from /api on: names are quoted, and a query may follow. `body` is what JSON would say.
        """
        path, _, written = path.partition("?")
        try:
            methods, names = self._paths.find(path)
            if method not in methods:
                raise Refused(405, "method_not_allowed", f"{method} is not allowed here")
            value = await self._perform(
                methods[method],
                self._visitor(user),
                names,
                {**dict(parse_qsl(written, keep_blank_values=True)), **(query or {})},
                headers or {},
                lambda: {} if body is None else body,
            )
        except Refused as refusal:
            raise Declined(path, refusal.status, printed(refusal.reason)) from None
        return plain(path, value)

    def _visitor(self, name: str) -> User:
        """Looked up anew each time: an administrator may have taken away what the user had when it signed in."""
        user = self.broker.users.get(name)
        if user is None:
            raise Refused(401, "not_authorised", "Login failed")
        if not may_look(user):
            raise Refused(401, "not_authorised", "Not management user")
        return user

    async def _perform(
        self,
        action: Action,
        user: User,
        names: tuple[str, ...],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Callable[[], Any],
    ) -> Any:
        call = Call(self.broker, self.sampling, user, names, query, headers, body, self.turn, self._body_bytes_max)
        self.turn()
        return await perform(action, call)


def may_look(user: User) -> bool:
    return bool(MAY_LOOK.intersection(user.tags))


def printed(reason: object) -> str:
    return reason if isinstance(reason, str) else json.dumps(reason, default=str)


def plain(path: str, value: Any) -> Any:
    """As a client would read it. Declined if it is a Response that says that something is not well."""
    if not isinstance(value, Response):
        return msgspec.to_builtins(value, enc_hook=str)
    said = msgspec.json.decode(value.body) if value.body else None
    if value.status_code >= 400:
        raise Declined(path, value.status_code, printed(said.get("reason") if isinstance(said, dict) else said))
    return said
