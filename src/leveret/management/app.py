"""The HTTP API: RabbitMQ's paths behind basic authentication, answered in the broker's own loop.

What is at each path stands in the tables of management/topology, messages and node, and of management/endpoints, which
management/tenants and parameters fill. Started by server/http.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leveret.broker.broker import Broker
from leveret.broker.users import User
from leveret.management import endpoints, messages, node, parameters, tenants, topology
from leveret.management.calls import Action, Call, Paths, answer, created, error

METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]
MAY_LOOK = frozenset(("management", "policymaker", "monitoring", "administrator"))
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


def make_app(broker: Broker, turn: Callable[[], None], about: node.Node, body_bytes_max: int) -> Starlette:
    """`turn` is called before anything is done: it tells the broker the time, and what it has to do is done after.

    `body_bytes_max`: of a request, and of what one `get` takes.
    """
    paths = Paths(ADMINISTRATION, topology.TABLE, messages.TABLE, node.TABLE, node.node_table(about))

    async def endpoint(request: Request) -> Response:
        user = authenticated(request, broker)
        if user is None:
            tried = "authorization" in request.headers
            refusal = error(401, "not_authorized", "Login failed" if tried else "Not_Authorized")
            refusal.headers["WWW-Authenticate"] = 'Basic realm="Leveret Management"'
            return refusal
        if not MAY_LOOK.intersection(user.tags):
            return error(401, "not_authorised", "Not management user")
        return await answer(paths, broker, user, request, turn, body_bytes_max)

    return Starlette(routes=[Route("/api/{path:path}", endpoint, methods=METHODS)])


def authenticated(request: Request, broker: Broker) -> User | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    host = request.client.host if request.client is not None else ""
    return broker.users.authenticate(user, password, host == "::1" or host.removeprefix("::ffff:").startswith("127."))
