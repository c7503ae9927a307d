"""How long to wait before the next attempt: exponential, with jitter, never above a limit.

Pure: randomness is handed in. Used by client/backoff, which waits, and by worker/place.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

DOUBLINGS_MAX: Final = 30


class Spacing:
    """`delay_s` doubles from `first_s` up to `max_s`; each is drawn from the upper half of its span.

    `fraction` gives a number from 0 to 1.
    """

    def __init__(
        self, first_s: float = 0.2, max_s: float = 30.0, *, fraction: Callable[[], float] = random.random
    ) -> None:
        self.first_s = first_s
        self.max_s = max_s
        self._fraction = fraction

    def delay_s(self, attempt: int) -> float:
        """Of attempt 0, 1, 2…; the jitter keeps clients from coming back to a restarted broker all at once."""
        span_s = min(self.max_s, self.first_s * float(2 ** min(attempt, DOUBLINGS_MAX)))
        return span_s * (0.5 + 0.5 * self._fraction())
