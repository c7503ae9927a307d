"""Here the fixture `work_queue` is on a program made for the test; most of this is the embedded broker's alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leveret.tasks import Retries, WorkQueue
from leveret.testing.harness import Harness, harness


@pytest.fixture
def leveret_app() -> WorkQueue:
    return WorkQueue("amqp://nobody@nowhere.invalid", retry=Retries(3, first_s=10))


@pytest.fixture
def work_queue(leveret_app: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """As the plugin's, whatever the environment says."""
    monkeypatch.delenv("LEVERET_TEST_URL", raising=False)
    with harness(leveret_app) as one:
        yield one
