"""The pytest plugin: fixtures for the tests of programs that use Leveret. Registered by the package's entry point.

It is loaded by every pytest that finds Leveret installed, so what it needs is imported by the fixtures only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from leveret.tasks import WorkQueue
    from leveret.testing.harness import Harness

APP = "leveret_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(APP, "the program's WorkQueue for the fixture work_queue: package.module, or package.module:name")


@pytest.fixture
def leveret_app(request: pytest.FixtureRequest) -> WorkQueue:
    """The program's WorkQueue, as the ini option `leveret_app` says. A test suite may have its own fixture of this name."""
    app = request.config.getini(APP)
    if not app:
        raise pytest.UsageError(
            f"which WorkQueue? Say `{APP} = package.module:name` in pytest's configuration, "
            f"or write a fixture `{APP}` that returns it"
        )
    from leveret.worker.loading import load

    return load(app)


@pytest.fixture
def work_queue(leveret_app: WorkQueue) -> Iterator[Harness]:
    """The program's WorkQueue on an empty broker of this test alone: see leveret.testing.harness.Harness."""
    from leveret.testing.harness import harness

    with harness(leveret_app) as one:
        yield one
