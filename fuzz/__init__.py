"""Fuzzing: bytes that no honest peer would send, against the protocol machines and against a running broker.

`python -m fuzz`; every case can be had again from its seed and number.
"""

from __future__ import annotations

from pathlib import Path

FOUND = Path(__file__).parent / "found"


class Broken(Exception):
    """An invariant does not hold; `data` is what broke it."""

    def __init__(self, text: str, data: bytes = b"") -> None:
        super().__init__(text)
        self.data = data
