"""Calls what the program gave as a callback: a failure of its own is logged and harms nobody else.

Used by connection, lifetime and consumer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def notify(callback: Callable[..., object] | None, whose: str, *values: object) -> None:
    """Call `callback`, if there is one, with `values`; `whose` it is says the log."""
    if callback is None:
        return
    try:
        callback(*values)
    except Exception:
        log.exception("a callback of %s failed", whose)
