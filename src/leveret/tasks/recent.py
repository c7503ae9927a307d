"""What was done not long ago, and need not be done again yet: a set that forgets. Used by outbox and lanes."""

from __future__ import annotations

import time
from typing import Final


class Recent:
    """Of names, for `for_s` each; forgets all rather than grow beyond MOST."""

    MOST: Final = 20_000

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._at: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        at = self._at.get(name)
        return at is not None and time.monotonic() - at < self._for_s

    def add(self, name: str) -> None:
        if len(self._at) >= self.MOST:
            self._at.clear()
        self._at[name] = time.monotonic()

    def discard(self, name: str) -> None:
        self._at.pop(name, None)

    def clear(self) -> None:
        self._at.clear()
