"""A program's WorkQueue on the embedded broker of a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leveret.tasks import WorkQueue
from leveret.testing.harness import Harness, harness


@pytest.fixture
def work() -> WorkQueue:
    work = WorkQueue(send_timeout_s=5)
    work.task(name="note")(note)
    return work


def note(number: int) -> None: ...


@pytest.fixture
def work_queue(work: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.delenv("LEVERET_TEST_URL", raising=False)
    with harness(work) as one:
        yield one
