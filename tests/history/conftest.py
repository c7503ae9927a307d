from __future__ import annotations

from collections.abc import Iterator

import pytest

from history.support import Book


@pytest.fixture
def book() -> Iterator[Book]:
    """A history in memory."""
    book = Book()
    yield book
    book.close()
