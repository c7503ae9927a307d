"""The worker: runs the tasks of a program. `main` for a command line, `run` for a program that is its own worker."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.worker.alone import run
    from leveret.worker.entry import main

__all__ = ["main", "run"]


def __getattr__(name: str) -> object:
    """Looked up when asked for: a supervisor loads no worker, and a worker no supervisor."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"leveret.worker.{'entry' if name == 'main' else 'alone'}"), name)
    return found
