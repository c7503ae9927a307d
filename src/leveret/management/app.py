"""The HTTP API: RabbitMQ's paths and error bodies over the views, behind basic authentication.

Broker and queues are shown here; what administrators set is in management/tenants and management/parameters. Runs in the
broker's own loop, so every answer is consistent. Started by server/run.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leveret.broker.broker import Broker
from leveret.broker.users import User
from leveret.errors import InvalidSetting, LeveretError
from leveret.management import parameters, tenants, views  # noqa: F401 the first two fill the table of endpoints
from leveret.management.endpoints import Call, Refused, find, not_authorised

PAGE_SIZE_MAX = 500
MAY_LOOK = frozenset(("management", "policymaker", "monitoring", "administrator"))
"""The tags with which a user may use this API at all."""


def make_app(broker: Broker, refresh: Callable[[], None]) -> Starlette:
    """`refresh` is called before each answer: it tells the broker the time."""

    def route(path: str, view: Callable[[Request], Any]) -> Route:
        return Route(path, guarded(view, broker, refresh), methods=["GET"])

    return Starlette(
        routes=[
            route("/api/overview", lambda request: views.overview(broker)),
            route("/api/queues", lambda request: listed(request, views.queues(broker))),
            route("/api/queues/{names:path}", lambda request: queues_at(broker, request)),
            route("/api/connections", lambda request: listed(request, views.connections(broker))),
            route("/api/channels", lambda request: listed(request, views.channels(broker))),
            route("/api/consumers", lambda request: listed(request, views.consumers(broker))),
            route("/api/unacked", lambda request: listed(request, views.unacked(broker))),
            Route("/api/{rest:path}", administered(broker, refresh), methods=["GET", "PUT", "POST", "DELETE", "PATCH"]),
        ]
    )


def queues_at(broker: Broker, request: Request) -> Any:
    """/api/queues/VHOST and /api/queues/VHOST/NAME. The path as it was sent counts: %2F is the slash of a name."""
    names = parts(request)[1:]
    if len(names) == 1:
        return listed(request, views.queues(broker, names[0]))
    if len(names) == 2:
        return views.queue_detail(broker, names[0], names[1])
    raise KeyError(request.url.path)


def parts(request: Request) -> tuple[str, ...]:
    """What stands between the slashes of the path behind /api/; `%2F` is the slash of a name."""
    sent: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return tuple(unquote(part) for part in sent.decode("ascii", "replace").split("?")[0].split("/")[2:])


def guarded(
    view: Callable[[Request], Any], broker: Broker, refresh: Callable[[], None]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            may_look(request, broker)
            refresh()
            return reply(view(request))
        except (LeveretError, KeyError, ValueError) as wrong:
            return refusal(wrong)

    return answer


def administered(broker: Broker, refresh: Callable[[], None]) -> Callable[[Request], Awaitable[Response]]:
    """Answers from the table of management/endpoints."""

    async def answer(request: Request) -> Response:
        sent = await request.body()
        try:
            user = may_look(request, broker)
            functions, names = find(parts(request))
            function = functions.get(request.method)
            if function is None:
                return Response(status_code=405, headers={"allow": ", ".join(functions)})
            refresh()
            shown = function(Call(broker, user, names, body(sent)))
        except (LeveretError, KeyError, ValueError) as wrong:
            return refusal(wrong)
        if request.method == "GET":
            return reply(shown)
        return Response(status_code=201 if shown else 204)

    return answer


def body(sent: bytes) -> Any:
    """The request's JSON; nothing sent is an empty object."""
    try:
        return msgspec.json.decode(sent) if sent.strip() else {}
    except msgspec.DecodeError:
        raise InvalidSetting("not_json") from None


def may_look(request: Request, broker: Broker) -> User:
    """Who asks; Refused if the password is wrong, or the user has none of the tags that this needs."""
    user = authenticated(request, broker)
    if user is None:
        raise not_authorised("Not_Authorized")
    if not MAY_LOOK.intersection(user.tags):
        raise not_authorised("Not management user")
    return user


def refusal(wrong: Exception) -> Response:
    if isinstance(wrong, Refused):
        answer = error(wrong.status, wrong.error, wrong.reason)
        if wrong.reason == "Not_Authorized":
            answer.headers["WWW-Authenticate"] = 'Basic realm="Leveret Management"'
        return answer
    if isinstance(wrong, KeyError):
        return error(404, "Object Not Found", "Not Found")
    return error(400, "bad_request", wrong.reason if isinstance(wrong, InvalidSetting) else str(wrong))


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


def reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value, enc_hook=str), status, media_type="application/json")


def error(status: int, kind: str, reason: object) -> Response:
    return reply({"error": kind, "reason": reason}, status)


def listed(request: Request, rows: list[views.View]) -> Any:
    """A list as asked for: `name` filters, `sort` and `sort_reverse` order, `page` cuts, `columns` chooses."""
    query = request.query_params
    if "name" in query:
        rows = [row for row in rows if query["name"] in str(row.get("name", ""))]
    if "sort" in query:
        rows = sorted(
            rows, key=lambda row: str(row.get(query["sort"], "")), reverse=query.get("sort_reverse") == "true"
        )
    if "columns" in query:
        columns = query["columns"].split(",")
        rows = [{name: row[name] for name in columns if name in row} for row in rows]
    return (
        rows
        if "page" not in query
        else paged(rows, number(query["page"], "page"), number(query.get("page_size", "100"), "page_size"))
    )


def number(text: str, name: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{name} is not a number from 1: {text}")
    return int(text)


def paged(rows: list[views.View], page: int, size: int) -> views.View:
    size = min(size, PAGE_SIZE_MAX)
    pages = max(1, -(-len(rows) // size))
    if page > pages:
        raise ValueError(f"page {page} is out of range, there are {pages}")
    items = rows[(page - 1) * size : page * size]
    return {
        "items": items,
        "item_count": len(items),
        "filtered_count": len(rows),
        "total_count": len(rows),
        "page": page,
        "page_count": pages,
        "page_size": size,
    }
