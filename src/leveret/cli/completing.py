"""What the shell offers where a queue is to be named: those of the management API, if it answers soon.

Names with signs that a shell could take for its own are left out. Used by the commands' arguments; `leveret
--install-completion` has the shell ask.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Final

import typer

from leveret.errors import ManagementError
from leveret.management.remote import path, remote

WAIT_S: Final = 2.0
OFFERED_MAX: Final = 500
HARMLESS: Final = re.compile(r"[\w.:@%+=,/-]+", re.ASCII)
USUAL: Final = "http://guest:guest@127.0.0.1:15672"


def queues(ctx: typer.Context, incomplete: str) -> list[str]:
    """Those that begin so; none if nobody tells."""
    given = ctx.params
    url = given.get("management") or os.environ.get("LEVERET_MANAGEMENT") or USUAL
    try:
        api = replace(remote(url), wait_s=WAIT_S)
        rows = api.ask("GET", path("queues", given.get("vhost") or "/") + "?disable_stats=true&columns=name")
    except (ManagementError, ValueError):
        return []
    names = sorted(str(row.get("name", "")) for row in rows)
    return [name for name in names if name.startswith(incomplete) and HARMLESS.fullmatch(name)][:OFFERED_MAX]
