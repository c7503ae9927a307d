"""The page's own files, as they came with the package, and no others. Used by app."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from leveret.dashboard.ask import NOT_FOUND, Refused
from leveret.dashboard.safety import HEADERS

UI: Final = files("leveret.dashboard") / "ui"
FILES_MAX: Final = 200
KINDS: Final = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
"""A system's own list may say that JavaScript is something else, and browsers do not run it then."""


class File(NamedTuple):
    content: bytes
    kind: str
    tag: str


def serve(name: str, request: Request) -> Response:
    """Refused (404) if there is no such file. A browser that has it already is told so."""
    found = file_named(name)
    if found is None:
        raise Refused(NOT_FOUND, "there is no such file")
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.kind, headers=headers)


@lru_cache(FILES_MAX)
def file_named(name: str) -> File | None:
    at = UI
    for part in name.split("/"):
        if part in ("", "..") or part.startswith("."):
            return None
        at = at / part
    try:
        if not at.is_file():
            return None
    except OSError:  # no file has so long a name
        return None
    content = at.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return File(content, KINDS.get(name.rpartition(".")[2], "text/plain"), tag)
