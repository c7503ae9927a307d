"""Fixtures every test may use: a running broker of either kind, connections to it, names nobody else uses.

`--broker=leveret|rabbitmq|both` chooses the kinds. A test marked `not_on_rabbitmq(reason)` runs on
Leveret only. Each process that runs a part of the suite (pytest-xdist) has brokers of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import KINDS, Broker, RabbitMQ, SharedBrokers

pytest_plugins = ["pytester"]

Connect = Callable[..., BlockingConnection]
CLOSE_S = 30.0
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        choices=[*KINDS, "both"],
        default="both",
        help="the broker(s) that broker tests run against",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "missing_in_leveret(reason): specified here, still to be built, not run")
    config.addinivalue_line("markers", "not_on_rabbitmq(reason): the installed RabbitMQ is known to differ here")
    # How long an example takes says nothing on a busy machine.
    hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("busy")
    RabbitMQ.statistics_ms = 1_000
    # A terminated test run ends its brokers too, as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broker_kind" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--broker")
        kinds = list(KINDS) if chosen == "both" else [chosen]
        metafunc.parametrize("broker_kind", kinds, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.callspec.params.get("broker_kind") if hasattr(item, "callspec") else None
        gap = item.get_closest_marker("missing_in_leveret")
        if gap and kind == "leveret":
            item.add_marker(pytest.mark.xfail(reason=gap.args[0], run=False))
        differs = item.get_closest_marker("not_on_rabbitmq")
        if differs and kind == "rabbitmq":
            item.add_marker(pytest.mark.skip(reason=differs.args[0]))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Where pytest itself breaks down it would say no word of what had failed before."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and exitstatus == pytest.ExitCode.INTERNAL_ERROR:
        reporter.summary_errors()
        reporter.summary_failures()
        reporter.short_test_summary()


@pytest.fixture(scope="session")
def broker_kind(request: pytest.FixtureRequest) -> type[Broker]:
    """The class of the broker under test, Leveret or RabbitMQ."""
    kind = KINDS[request.param]
    if kind.missing():
        pytest.skip(kind.missing())
    return kind


@pytest.fixture(scope="session")
def shared_brokers() -> Iterator[SharedBrokers]:
    """Brokers that all tests share, for fixtures to choose from."""
    shared = SharedBrokers()
    try:
        yield shared
        shared.stop()
    finally:
        shared.remove()


@pytest.fixture(scope="session")
def broker(broker_kind: type[Broker], shared_brokers: SharedBrokers) -> Broker:
    """A running broker that all tests share: use queues of your own, and never stop it."""
    return shared_brokers.get(broker_kind)


@pytest.fixture
def own_broker(broker_kind: type[Broker]) -> Iterator[Broker]:
    """A running broker for this test alone, to stop, kill and restart as it likes."""
    own = broker_kind(management=False)
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
def managed_broker(broker_kind: type[Broker]) -> Iterator[Broker]:
    """A broker for this test alone with its management interface on `management_url`."""
    own = broker_kind(management=True)
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
def name() -> str:
    """A name for a queue or exchange that no other test uses; short, as reply texts end at 255 bytes."""
    return f"q{next(_numbers)}"


@pytest.fixture
def connect(broker: Broker) -> Iterator[Connect]:
    """Opens pika connections to `broker` (arguments as ConnectionParameters), closed after the test."""
    opened: list[BlockingConnection] = []

    def open_connection(**overrides: Any) -> BlockingConnection:
        opened.append(broker.connect(**overrides))
        return opened[-1]

    yield open_connection
    # pika waits for outstanding replies for ever; after a failed test those may never come.
    closers = [threading.Thread(target=_close, args=(connection,), daemon=True) for connection in opened]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(CLOSE_S)


def _close(connection: BlockingConnection) -> None:
    # The broker may have closed it meanwhile, as some tests want.
    with contextlib.suppress(pika.exceptions.AMQPError):
        if connection.is_open:
            connection.close()


@pytest.fixture
def connection(connect: Connect) -> BlockingConnection:
    return connect()


@pytest.fixture
def channel(connection: BlockingConnection) -> BlockingChannel:
    return connection.channel()
