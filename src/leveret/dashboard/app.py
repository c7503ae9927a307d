"""The application: the page itself, its files, and below /ui/ the JSON that it shows. Pages are in pages/, each with a TABLE.

Knows no broker: a Source does. Run in the broker's process by embedded, in one of its own by run.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from leveret.dashboard import signing
from leveret.dashboard.ask import Ask, Parts, Refused, Routes, refusal
from leveret.dashboard.files import serve
from leveret.dashboard.hearing import Hearing
from leveret.dashboard.live import TOPICS_MAX, Answers, Topic, pace, stream
from leveret.dashboard.pages import TABLES
from leveret.dashboard.safety import HEADERS, check_change, check_host
from leveret.dashboard.sampling import Sampling
from leveret.dashboard.sessions import Session, Sessions
from leveret.dashboard.source import Source
from leveret.history import History

BODY_BYTES_MAX: Final = 16 << 20
LOGIN_BYTES_MAX: Final = 16 << 10
"""Nobody knows yet who sends it."""
ROUTES: Final = Routes(*TABLES)
Handler = Callable[["Handlers", Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`app` answers; `parts` and `sessions` are for whoever runs it: their `run`s have to be started."""

    app: Starlette
    parts: Parts
    sessions: Sessions


def make_dashboard(source: Source, history: History | None = None, clock: Callable[[], float] = time.time) -> Dashboard:
    parts = Parts(source, Sampling(source, clock), Hearing(clock), history, clock)
    sessions = Sessions(source, clock)
    handlers = Handlers(parts, sessions)
    routes = [
        Route("/", handlers.page),
        Route("/assets/{name:path}", handlers.asset),
        Route("/ui/me", handlers.me),
        Route("/ui/login", handlers.login, methods=["POST"]),
        Route("/ui/logout", handlers.logout, methods=["POST"]),
        Route("/ui/stream", handlers.stream),
        Route("/ui/{path:path}", handlers.answer, methods=["GET", "POST"]),
    ]
    return Dashboard(Starlette(routes=routes), parts, sessions)


def refusing(handler: Handler) -> Handler:
    """What the handler refuses becomes its answer."""

    @wraps(handler)
    async def answered(self: Handlers, request: Request) -> Response:
        try:
            check_host(request)
            return await handler(self, request)
        except Exception as error:
            wrong = refusal(error)
            return reply({"reason": wrong.reason}, wrong.status)

    return answered


class Handlers:
    def __init__(self, parts: Parts, sessions: Sessions) -> None:
        self._parts: Final = parts
        self._sessions: Final = sessions
        self._answers: Final = Answers()

    @refusing
    async def page(self, request: Request) -> Response:
        return serve("index.html", request)

    @refusing
    async def asset(self, request: Request) -> Response:
        return serve(request.path_params["name"], request)

    # ---- who asks

    @refusing
    async def me(self, request: Request) -> Response:
        return reply(await signing.me(self._parts, self._session(request), request))

    @refusing
    async def login(self, request: Request) -> Response:
        check_change(request)
        return await signing.login(self._sessions, await fields(request, LOGIN_BYTES_MAX), request)

    @refusing
    async def logout(self, request: Request) -> Response:
        check_change(request)
        return signing.logout(self._sessions, request)

    def _session(self, request: Request) -> Session | None:
        return self._sessions.find(signing.token_of(request))

    def _signed_in(self, request: Request) -> Session:
        session = self._session(request)
        if session is None:
            raise Refused(401, "nobody is signed in")
        return session

    # ---- what is asked

    @refusing
    async def answer(self, request: Request) -> Response:
        session = self._signed_in(request)
        methods, names = ROUTES.find(below_ui(request))
        function = methods.get(request.method)
        if function is None:
            raise Refused(405, f"{request.method} is not how this is asked")
        body: Mapping[str, Any] = {}
        if request.method == "POST":
            check_change(request)
            body = await fields(request)
        return reply(await function(Ask(self._parts, session, names, dict(request.query_params), body)))

    @refusing
    async def stream(self, request: Request) -> Response:
        session = self._signed_in(request)
        names = request.query_params.getlist("topic")
        if len(names) > TOPICS_MAX:
            raise Refused(400, f"{len(names)} topics at once, expected {TOPICS_MAX} at most")
        session.check_room()
        topics = [self._topic(name, session) for name in names]
        token = signing.token_of(request)
        return StreamingResponse(
            session.followed(stream(topics, lambda: self._sessions.find(token) is not None)),
            media_type="text/event-stream",
            headers={**HEADERS, "Cache-Control": "no-store"},
        )

    def _topic(self, name: str, session: Session) -> Topic:
        path, _, query = name.partition("?")
        methods, names = ROUTES.find(path)
        function = methods.get("GET")
        every_s = pace(function)
        assert function is not None
        ask = Ask(self._parts, session, names, dict(parse_qsl(query, keep_blank_values=True)))
        return Topic(self._answers.of(session, name, partial(function, ask), every_s))


def below_ui(request: Request) -> str:
    """The path as it was sent, without what stands before /ui/."""
    sent: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return sent.decode("ascii", "replace").split("?")[0].partition("/ui/")[2]


async def fields(request: Request, bytes_max: int = BODY_BYTES_MAX) -> Mapping[str, Any]:
    """The object that was sent. Refused (400, 413) if it is none, or too large."""
    pieces, octets = [], 0
    async for piece in request.stream():
        octets += len(piece)
        if octets > bytes_max:
            raise Refused(413, f"the request has more than {bytes_max} bytes")
        pieces.append(piece)
    try:
        body = msgspec.json.decode(b"".join(pieces) or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "the request is no JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "the request is no JSON object")
    return body


def reply(value: Any, status: int = 200) -> Response:
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return Response(msgspec.json.encode(value, enc_hook=str), status, headers, "application/json")
