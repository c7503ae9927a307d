"""Asks a management API over HTTP, ours or RabbitMQ's. Used by the commands that look into a broker or administer it."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from leveret.errors import Declined, ManagementError

__all__ = ["PORTS", "Declined", "Remote", "fetch", "path", "remote"]

WAIT_S: Final = 30
PORTS: Final = {"http": 15672, "https": 15671}
EXPECTED: Final = (
    "expected http://USER:PASSWORD@HOST:PORT, https:// (with ?cacertfile=FILE if its authority is your own), "
    "or http+unix:///PATH"
)


class SocketConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str, **given: Any) -> None:
        super().__init__("localhost", timeout=given.get("timeout"))
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class SocketHandler(urllib.request.HTTPHandler):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        found: http.client.HTTPResponse = self.do_open(
            lambda host, **given: SocketConnection(self._path, **given), request
        )
        return found


@dataclass(frozen=True, slots=True)
class Remote:
    where: str
    user: str
    password: str = field(repr=False)
    wait_s: float = WAIT_S
    socket: str = ""
    """Of a Unix socket the path; `where` is only to be shown then."""
    authority: str | None = None
    """The file of the authority that a certificate has to be of; None: those that the system trusts."""

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        """What the API answers, None if that is nothing. Declined or another ManagementError says in a line what went wrong."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            ("http://localhost" if self.socket else self.where) + path,
            sent,
            {"Authorization": f"Basic {token}", "Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with self._opener().open(request, timeout=self.wait_s) as answer:
                text = answer.read()
            return json.loads(text) if text.strip() else None
        except urllib.error.HTTPError as error:
            raise Declined(self.where + path, error.code, self._reason(error)) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                text = f"cannot trust {self.where}: {error.reason.verify_message}; name its authority with ?cacertfile=FILE"
                raise ManagementError(text) from None
            raise ManagementError(f"cannot reach {self.where}: {error.reason}; is the broker running?") from None
        except (OSError, http.client.HTTPException) as error:
            raise ManagementError(f"lost {self.where}: {error}") from None
        except ValueError:
            raise ManagementError(f"{self.where}{path} did not answer with JSON: is it a management API?") from None

    def _opener(self) -> urllib.request.OpenerDirector:
        if self.socket:
            return urllib.request.build_opener(SocketHandler(self.socket), urllib.request.ProxyHandler({}))
        if self.authority is None:
            return urllib.request.build_opener()
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except OSError as error:
            raise ManagementError(f"{self.authority}: no certificates of an authority: {error}") from None
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

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
    """`url` is http://USER:PASSWORD@HOST:PORT, guest:guest and 15672 where left out; https, with 15671 and `?cacertfile=`; or
    http+unix:///PATH of a Unix socket. ValueError if it is no URL, without what may be a password in it.

    `user` and `password` take the place of those in the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong(url) from None
    if user is None or password is None:
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    if parts.scheme == "http+unix" and parts.path.startswith("/") and not parts.hostname:
        return Remote(f"http+unix://{parts.path}", user, password, socket=unquote(parts.path))
    if parts.scheme not in PORTS or not parts.hostname:
        raise wrong(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = f"{parts.scheme}://{host}:{port or PORTS[parts.scheme]}"
    return Remote(where, user, password, authority=authority_of(parts))


def authority_of(parts: SplitResult) -> str | None:
    files = parse_qs(parts.query).get("cacertfile")
    return files[0] if files and parts.scheme == "https" else None


def wrong(url: str) -> ValueError:
    """What stands before the last @ may be a password, whatever else is wrong with it."""
    shown = "***@" + url.rpartition("@")[2] if "@" in url else url
    return ValueError(f"{shown}: {EXPECTED}")


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
