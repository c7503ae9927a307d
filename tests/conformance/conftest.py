"""A broker with its management interface, shared by the tests that administer one, and the administrator."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingConnection

from brokers import Broker, SharedBrokers
from conformance.administration import Admin

Login = Callable[[str, str], BlockingConnection]


@pytest.fixture(scope="session")
def administered(broker_kind: type[Broker], shared_brokers: SharedBrokers) -> Broker:
    """Shared: make virtual hosts and users of your own in it."""
    return shared_brokers.get(broker_kind, management=True)


@pytest.fixture
def admin(administered: Broker) -> Iterator[Admin]:
    """What it makes is deleted after the test."""
    administrator = Admin(administered)
    yield administrator
    administrator.clean_up()


@pytest.fixture
def login(admin: Admin) -> Iterator[Login]:
    """Opens connections as (user, vhost) with the password of admin's users, closed after the test."""
    opened: list[BlockingConnection] = []

    def open_connection(user: str, vhost: str) -> BlockingConnection:
        opened.append(admin.connect(user, vhost, "guest" if user == "guest" else "secret"))
        return opened[-1]

    yield open_connection
    for connection in opened:
        with contextlib.suppress(pika.exceptions.AMQPError):
            if connection.is_open:
                connection.close()
