"""Signing in and out, and what the page is told of whoever looks at it. Used by app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from leveret.dashboard.ask import Parts, Refused
from leveret.dashboard.safety import HEADERS, near
from leveret.dashboard.sessions import Session, Sessions
from leveret.dashboard.source import Access
from leveret.management.remote import Declined

PAUSE_S: Final = 0.5
"""Whoever guesses passwords waits so long for each answer."""


def cookie(request: Request) -> str:
    """Its name has the port: browsers send the cookies of one to all others of a machine."""
    return f"leveret_{request.url.port or 80}"


def token_of(request: Request) -> str:
    return request.cookies.get(cookie(request), "")


async def login(sessions: Sessions, body: Mapping[str, Any], request: Request) -> Response:
    with sessions.attempt(request.client.host if request.client is not None else ""):
        token = await opened(sessions, body, near(request))
    response = Response(b"{}", media_type="application/json", headers={**HEADERS, "Cache-Control": "no-store"})
    response.set_cookie(cookie(request), token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


async def opened(sessions: Sessions, body: Mapping[str, Any], from_near: bool) -> str:
    """The token of a new session. Refused (401) otherwise."""
    if "word" in body:
        token = await sessions.accept(str(body["word"]))
        if token is None:
            raise Refused(401, "this address has been used before: sign in with user and password")
        return token
    try:
        return await sessions.sign_in(str(body.get("user", "")), str(body.get("password", "")), from_near)
    except Declined as declined:
        await asyncio.sleep(PAUSE_S)
        raise Refused(401, declined.reason) from None


def logout(sessions: Sessions, request: Request) -> Response:
    sessions.end(token_of(request))
    response = Response(b"{}", media_type="application/json", headers=HEADERS)
    response.delete_cookie(cookie(request), httponly=True, samesite="strict")
    return response


async def me(parts: Parts, session: Session | None, request: Request) -> Any:
    """Without a session only whether the form may be filled in already."""
    if session is None:
        return {"user": None, "guest": near(request) and await parts.source.guest_opens()}
    return {
        "user": session.access.user,
        "tags": list(session.access.tags),
        "may_write": session.may_write,
        "broker": await broker_of(session.access),
        "local": parts.source.local,
    }


async def broker_of(access: Access) -> dict[str, str]:
    told = await access.get("/api/overview")
    product = told.get("product_name") or "RabbitMQ"
    version = told.get("product_version") or told.get("rabbitmq_version") or ""
    return {"product": product, "version": version, "name": told.get("cluster_name") or told.get("node") or ""}
