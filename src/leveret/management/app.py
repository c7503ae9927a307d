"""The HTTP API: RabbitMQ's paths and error bodies over the views, behind basic authentication.

Read-only so far. Runs in the broker's own loop, so every answer is consistent. Started by server/run.
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
from leveret.management import views

Check = Callable[[str, str], bool]
"""Do user and password belong together?"""

PAGE_SIZE_MAX = 500


def make_app(broker: Broker, check: Check, refresh: Callable[[], None]) -> Starlette:
    """`refresh` is called before each answer: it tells the broker the time."""

    def route(path: str, view: Callable[[Request], Any]) -> Route:
        return Route(path, guarded(view, check, refresh), methods=["GET"])

    return Starlette(
        routes=[
            route("/api/overview", lambda request: views.overview(broker)),
            route("/api/nodes", lambda request: [views.node(broker)]),
            route("/api/queues", lambda request: listed(request, views.queues(broker))),
            route("/api/queues/{names:path}", lambda request: queues_at(broker, request)),
            route("/api/connections", lambda request: listed(request, views.connections(broker))),
            route("/api/channels", lambda request: listed(request, views.channels(broker))),
            route("/api/consumers", lambda request: listed(request, views.consumers(broker))),
            route("/api/unacked", lambda request: listed(request, views.unacked(broker))),
        ]
    )


def queues_at(broker: Broker, request: Request) -> Any:
    """/api/queues/VHOST and /api/queues/VHOST/NAME. The path as it was sent counts: %2F is the slash of a name."""
    sent: bytes = request.scope.get("raw_path") or request.url.path.encode()
    names = [unquote(part) for part in sent.decode("ascii", "replace").split("?")[0].split("/")[3:]]
    if len(names) == 1:
        return listed(request, views.queues(broker, names[0]))
    if len(names) == 2:
        return views.queue_detail(broker, names[0], names[1])
    raise KeyError(request.url.path)


def guarded(
    view: Callable[[Request], Any], check: Check, refresh: Callable[[], None]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if not authorised(request, check):
            refusal = error(401, "not_authorised", "Not_Authorized")
            refusal.headers["WWW-Authenticate"] = 'Basic realm="Leveret Management"'
            return refusal
        refresh()
        try:
            return reply(view(request))
        except KeyError:
            return error(404, "Object Not Found", "Not Found")
        except ValueError as wrong:
            return error(400, "bad_request", str(wrong))

    return answer


def authorised(request: Request, check: Check) -> bool:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return check(user, password)


def reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value, enc_hook=str), status, media_type="application/json")


def error(status: int, kind: str, reason: str) -> Response:
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
