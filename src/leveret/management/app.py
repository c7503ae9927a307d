"""HTTP before the API: who asks, and what may be asked from where. RabbitMQ's paths behind basic authentication.

`/metrics` is for Prometheus; all that is neither there nor below /api is the guest's, another ASGI app, if there is one.
Made by server/http, answers by management/api and management/metrics.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from leveret.broker.broker import Broker
from leveret.broker.users import User
from leveret.management.api import Api, may_look
from leveret.management.calls import SEE_ALL, error
from leveret.management.metrics import CONTENT_TYPE, Metrics

METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Vary": "accept, accept-encoding, origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer: what users named themselves is never a page."""
OUR_SITE: Final = frozenset(("same-origin", "none"))
METRICS: Final = ("", "/per-object", "/detailed")

Answer = Callable[[Request], Awaitable[Response]]


class Guest(Protocol):
    """An ASGI app on the management port. It does its own authentication."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request for any path that is not the API's."""

    def start(self) -> None:
        """The broker listens."""

    async def stop(self) -> None:
        """The broker is about to stop: end what runs, also answers that go on and on."""


def make_app(
    api: Api, metrics: Metrics, guest: Guest | None = None, *, metrics_open: bool = False, local: bool = False
) -> Starlette:
    """`local`: whoever asks is on this machine, by a Unix socket. `metrics_open`: metrics are for anybody."""

    def for_users(answer: Callable[[User, Request], Awaitable[Response]]) -> Answer:
        async def endpoint(request: Request) -> Response:
            if is_foreign(request):
                return error(403, "forbidden", "a page of another site asks, which may not")
            user = authenticated(request, api.broker, local)
            if user is None:
                return login_refused(request)
            return await answer(user, request)

        return endpoint

    async def asked(user: User, request: Request) -> Response:
        return await api.answer(user, request) if may_look(user) else not_authorised("Not management user")

    async def measured(user: User, request: Request) -> Response:
        return await text(metrics, request) if SEE_ALL.intersection(user.tags) else not_authorised("Not monitor user")

    routes: list[BaseRoute] = [
        Route("/api/{path:path}", safely(for_users(asked)), methods=METHODS),
        *metrics_routes(open_metrics(metrics) if metrics_open else for_users(measured)),
    ]
    if guest is not None:
        routes.append(Mount("/", app=guest))
    return Starlette(routes=routes)


def make_metrics_app(metrics: Metrics) -> Starlette:
    """The metrics alone, for anybody."""
    return Starlette(routes=metrics_routes(open_metrics(metrics)))


def metrics_routes(answer: Answer) -> list[BaseRoute]:
    return [Route(f"/metrics{rest}", safely(answer), methods=["GET"]) for rest in METRICS]


def open_metrics(metrics: Metrics) -> Answer:
    return lambda request: text(metrics, request)


async def text(metrics: Metrics, request: Request) -> Response:
    query = request.query_params
    match request.url.path.removeprefix("/metrics"):
        case "":
            found = await metrics.summed()
        case "/per-object":
            found = await metrics.each()
        case _:
            found = await metrics.detailed(query.getlist("family"), query.getlist("vhost"))
    return Response(found, headers={"Content-Type": CONTENT_TYPE})


# ---- who, and from where


def safely(answer: Answer) -> Answer:
    async def endpoint(request: Request) -> Response:
        response = await answer(request)
        response.headers.update(HEADERS)
        return response

    return endpoint


def not_authorised(reason: str) -> Response:
    return error(401, "not_authorised", reason)


def login_refused(request: Request) -> Response:
    tried = "authorization" in request.headers
    refusal = error(401, "not_authorized", "Login failed" if tried else "Not_Authorized")
    refusal.headers["WWW-Authenticate"] = 'Basic realm="Leveret Management"'
    return refusal


def is_foreign(request: Request) -> bool:
    """Does a browser ask for a page of another site? It would send the password along that it knows for this one.

    Browsers say so in Sec-Fetch-Site, older ones in Origin; programs say neither.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in OUR_SITE
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("host", "")


def of_a_domain(host: str) -> bool:
    """Such a name anybody may point at this machine, and have a browser here ask us as if it were that page's own site.

    Then guest is nobody. Addresses, and names without a dot, are not to be had from a name server elsewhere.
    """
    name = host.partition(":")[0].rstrip(".").lower()
    labels = name.split(".")
    return "[" not in host and len(labels) > 1 and labels[-1] != "localhost" and not labels[-1].isdigit()


def authenticated(request: Request, broker: Broker, local: bool) -> User | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    host = request.client.host if request.client is not None else ""
    near = host == "::1" or host.removeprefix("::ffff:").startswith("127.")
    loopback = local or (near and not of_a_domain(request.headers.get("host", "")))
    found = broker.users.authenticate(user, password, loopback)
    broker.commons.churn.tried("http", found is not None)
    return found
