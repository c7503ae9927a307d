"""A broker with management that the tests of a module share: use names of your own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers import Broker
from management.support import Api


@pytest.fixture(scope="module")
def shared(broker_kind: type[Broker]) -> Iterator[Broker]:
    own = broker_kind(management=True)
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
def api(shared: Broker) -> Api:
    return Api(shared)
