"""What every answer carries, and which requests are refused before anybody looks at them: other sites', and strangers'.

Used by app.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request

from leveret.dashboard.ask import Refused

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check_host(request: Request) -> None:
    """Refused (400) if the header Host is no host and port: others may make anything of it."""
    try:
        _ = sent_to(request).port
    except ValueError:
        raise Refused(400, "the header Host is no address") from None


def sent_to(request: Request) -> SplitResult:
    """As the header Host has it. Starlette's own URL has the server's address where it finds that odd. ValueError: it is none."""
    return urlsplit(f"//{request.headers.get('host', '')}")


def check_change(request: Request) -> None:
    """Refused (403, 415) if a page of another site might have sent what is to change something."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "a request that changes something is application/json")
    if not of_our_own(request):
        raise Refused(403, "another site must not do this")


def of_our_own(request: Request) -> bool:
    """Browsers say who asks; who says nothing is no browser, and has to say it all the same."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] == request.headers.get("host")


def near(request: Request) -> bool:
    """From this machine, and to an address of it: a name might have been pointed at us by somebody else's name server."""
    client = request.client.host if request.client is not None else ""
    return loops(client) and loops(sent_to(request).hostname or "")


def loops(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False
