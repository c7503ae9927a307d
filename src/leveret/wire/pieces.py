"""Octets that come in pieces, kept until all of them are there. Used by wire/frames and wire/channel."""

from __future__ import annotations

from typing import Final

SMALL_MAX: Final = 1_024


class Pieces:
    """Many small pieces are joined now and then, so that a peer who sends octet by octet costs hardly more memory than he
    sends, and every octet is copied twice at most.
    """

    def __init__(self) -> None:
        self.octets: int = 0
        self._joined: list[bytes] = []
        self._small: list[bytes] = []

    def add(self, piece: bytes) -> None:
        if piece:
            self.octets += len(piece)
            self._small.append(piece)
            if len(self._small) >= SMALL_MAX:
                self._joined.append(b"".join(self._small))
                self._small = []

    def take(self) -> bytes:
        """All of them; none is kept."""
        whole = b"".join([*self._joined, *self._small]) if self._joined else b"".join(self._small)
        self.clear()
        return whole

    def clear(self) -> None:
        self.octets = 0
        self._joined = []
        self._small = []
