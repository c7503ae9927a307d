"""Tells when a program's files change, for `--reload`. With watchfiles, which is an extra. Used by supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from leveret.errors import TaskError

OUR_DATA: Final = frozenset({".leveret", "leveret-data"})
DEBOUNCE_MS: Final = 300
"""Changes that come one upon another, as of an editor or of git, count as one."""


def load_watcher() -> Any:
    """TaskError if it is not installed."""
    try:
        return import_module("watchfiles")
    except ImportError:
        raise TaskError("reloading needs watchfiles: pip install 'leveret[reload]'") from None


async def changes(app: str, stopping: asyncio.Event) -> AsyncIterator[list[str]]:
    """The Python files that changed, each time some do: below the current directory, and below the program's own."""
    watcher = load_watcher()
    wanted = _wanted(watcher.PythonFilter())
    async for found in watcher.awatch(
        *_directories(app), watch_filter=wanted, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS // 3, stop_event=stopping
    ):
        yield sorted({path for _, path in found})


def _wanted(python: Callable[[Any, str], bool]) -> Callable[[Any, str], bool]:
    """Python files, but none in caches, environments, repositories' own directories and brokers' data."""

    def wanted(change: Any, path: str) -> bool:
        return python(change, path) and not OUR_DATA & set(Path(path).parts)

    return wanted


def _directories(app: str) -> list[Path]:
    """None below another."""
    here, place = Path.cwd(), Path(app.partition(":")[0])
    own = place.resolve().parent if place.suffix == ".py" else here
    if own.is_relative_to(here):
        return [here]
    return [own] if here.is_relative_to(own) else [here, own]
