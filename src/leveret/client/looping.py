"""The event loop to run on: uvloop where it is installed, asyncio's own otherwise.

Called by programs (`run`) and by client/blocking for its background thread (`new_loop`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not there on Windows, and never required
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = (
        uvloop.new_event_loop()
    )  # where the package is built there are no types of uvloop's
    return loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run, on the fastest loop there is."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)
