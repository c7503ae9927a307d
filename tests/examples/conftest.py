"""What tests of pages' programs share: where the broker is, and that their default queue is new."""

from __future__ import annotations

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker


@pytest.fixture
def environment(broker: Broker) -> dict[str, str]:
    return {"LEVERET_URL": broker.url, "AMQP_URL": broker.url}


@pytest.fixture
def no_queue(channel: BlockingChannel) -> None:
    """Nothing of a test before waits for the workers of this one."""
    channel.queue_delete("default")
