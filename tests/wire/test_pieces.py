"""Octets in pieces: all of them come out in order, whatever their sizes, and many small ones cost no more than their length."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from leveret.wire.pieces import SMALL_MAX, Pieces


@given(st.lists(st.binary(max_size=5), max_size=50), st.integers(0, 3 * SMALL_MAX))
def test_what_goes_in_comes_out_once(parts: list[bytes], more: int) -> None:
    pieces = Pieces()
    for part in [*parts, *[b"x"] * more]:
        pieces.add(part)
    whole = b"".join(parts) + b"x" * more
    assert pieces.octets == len(whole)
    assert pieces.take() == whole
    assert (pieces.octets, pieces.take()) == (0, b"")


def test_empty_pieces_are_not_kept() -> None:
    pieces = Pieces()
    for _ in range(10 * SMALL_MAX):
        pieces.add(b"")
    assert kept(pieces) == (0, 0)


def test_two_octets_a_piece_cost_little_more_than_two_octets() -> None:
    pieces = Pieces()
    for _ in range(100 * SMALL_MAX):
        pieces.add(bytes(2))
    count, octets = kept(pieces)
    assert count <= 101 and octets < 1.1 * pieces.octets + 1_000


def kept(pieces: Pieces) -> tuple[int, int]:
    """How many objects hold the pieces, and their size in memory."""
    held = [*pieces._joined, *pieces._small]
    return len(held), sum(sys.getsizeof(one) for one in held)
