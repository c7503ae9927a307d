"""Two worlds: one that keeps nothing, one with a store on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.support import World


@pytest.fixture
def world() -> Iterator[World]:
    one = World(None)
    yield one
    one.store.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    one.store.close()
