"""Asks a management API over HTTP, ours or RabbitMQ's. Used by the commands that look into a broker."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from leveret.errors import ManagementError

WAIT_S: Final = 10
PORT: Final = 15672


def fetch(url: str, path: str, missing: Any = None) -> Any:
    """What the API has at `path`; `missing`, if given, where it has nothing (404).

    `url` is http://USER:PASSWORD@HOST:PORT, guest:guest and 15672 where left out. ManagementError says in a line what
    went wrong, ValueError that the URL is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url}: expected http://USER:PASSWORD@HOST:PORT")
    where = f"{parts.scheme}://{parts.hostname}:{parts.port or PORT}"
    user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(where + path, headers={"Authorization": f"Basic {token}"})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404 and missing is not None:
            return missing
        reason = {401: f"user {user} or its password is wrong", 404: "it has no such thing"}.get(
            error.code, error.reason
        )
        raise ManagementError(f"{where}{path} answered {error.code}: {reason}") from None
    except urllib.error.URLError as error:
        raise ManagementError(f"cannot reach {where}: {error.reason}; is the broker running?") from None
    except OSError as error:
        raise ManagementError(f"lost {where}: {error}") from None
    except ValueError:
        raise ManagementError(f"{where}{path} did not answer with JSON: is it a management API?") from None
