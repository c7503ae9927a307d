"""Tells whether this installation's hot modules are compiled."""

from __future__ import annotations

from leveret.wire import connection

COMPILED: bool = not (connection.__file__ or "").endswith(".py")


def describe() -> str:
    """ "compiled (mypyc)" or "pure Python"."""
    return "compiled (mypyc)" if COMPILED else "pure Python"
