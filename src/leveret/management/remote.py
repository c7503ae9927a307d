"""Asks a management API over HTTP, ours or RabbitMQ's. Used by the commands that look into a broker or administer it."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from leveret.errors import ManagementError

WAIT_S: Final = 30
PORT: Final = 15672


class Declined(ManagementError):
    """The API answered, but not with what was asked for."""

    def __init__(self, where: str, status: int, reason: str) -> None:
        super().__init__(f"{where} answered {status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Remote:
    where: str
    user: str
    password: str = field(repr=False)

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        """What the API answers, None if that is nothing. Declined or another ManagementError says in a line what went wrong."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.where + path,
            sent,
            {"Authorization": f"Basic {token}", "Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                text = answer.read()
            return json.loads(text) if text.strip() else None
        except urllib.error.HTTPError as error:
            raise Declined(self.where + path, error.code, self._reason(error)) from None
        except urllib.error.URLError as error:
            raise ManagementError(f"cannot reach {self.where}: {error.reason}; is the broker running?") from None
        except (OSError, http.client.HTTPException) as error:
            raise ManagementError(f"lost {self.where}: {error}") from None
        except ValueError:
            raise ManagementError(f"{self.where}{path} did not answer with JSON: is it a management API?") from None

    def _reason(self, error: urllib.error.HTTPError) -> str:
        """RabbitMQ's bodies have a reason; where that says nothing the status does."""
        try:
            reason = json.loads(error.read()).get("reason")
        except (ValueError, AttributeError, OSError):
            reason = None
        if error.code == 401 and reason in (None, "Not_Authorized", "Login failed"):
            return f"user {self.user} or its password is wrong"
        if error.code == 404 and reason in (None, "Not Found"):
            return "it has no such thing"
        text = reason if isinstance(reason, str) else json.dumps(reason) if reason else str(error.reason)
        return " ".join(text.split())


def remote(url: str, user: str | None = None, password: str | None = None) -> Remote:
    """`url` is http://USER:PASSWORD@HOST:PORT, guest:guest and 15672 where left out; ValueError if it is no URL.

    `user` and `password` take the place of those in the URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url}: expected http://USER:PASSWORD@HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = f"{parts.scheme}://{host}:{parts.port or PORT}"
    if user is not None and password is not None:
        return Remote(where, user, password)
    return Remote(where, unquote(parts.username or "guest"), unquote(parts.password or "guest"))


def fetch(url: str, path: str, missing: Any = None) -> Any:
    """What the API has at `path`; `missing`, if given, where it has nothing (404)."""
    try:
        return remote(url).ask("GET", path)
    except Declined as declined:
        if declined.status == 404 and missing is not None:
            return missing
        raise


def path(*parts: str) -> str:
    """/api/ and the parts, each of which may hold any character."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)
