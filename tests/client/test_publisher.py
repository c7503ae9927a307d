"""Publishing from the calling thread: what it promises, on both brokers, and how it ends."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker, RabbitMQ
from client.proxy import Proxy
from client.support import WAIT_S, bodies
from leveret.client import BasicProperties
from leveret.client.publisher import AWAKE_S, Publisher, can_be_opened, open_publisher
from leveret.client.threads import loop_thread
from leveret.client.url import parse_url
from leveret.errors import ChannelError, ConnectionLost, Unroutable
from leveret.wire.frames import method_frame
from leveret.wire.methods import ConnectionBlocked, ConnectionUnblocked, encode_method

PERSISTENT = BasicProperties(delivery_mode=2)


def opened(url: str) -> Publisher:
    return loop_thread().run(open_publisher(parse_url(url), "a publisher", WAIT_S), WAIT_S, "a publisher")


def closed(publisher: Publisher) -> bool:
    return loop_thread().run(publisher.close(), WAIT_S, "its end")


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    publisher = opened(broker.url)
    yield publisher
    closed(publisher)


def publish(publisher: Publisher, queue: str, body: bytes = b"x", timeout_s: float = WAIT_S) -> bool:
    return publisher.publish("", queue, PERSISTENT, body, timeout_s)


def test_what_is_confirmed_is_in_the_queue_in_its_order(
    publisher: Publisher, channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name, durable=True)
    assert all(publish(publisher, name, b"%d" % number) for number in range(200))
    assert bodies(channel, name) == [b"%d" % number for number in range(200)]


def test_a_message_of_many_frames_that_no_socket_takes_at_once(
    publisher: Publisher, channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name, durable=True)
    body = os.urandom(16 * 1024 * 1024)
    assert publish(publisher, name, body)
    assert bodies(channel, name) == [body]


def test_what_is_returned_is_told_and_the_connection_goes_on(
    publisher: Publisher, channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name, durable=True)
    for _ in range(2):
        with pytest.raises(Unroutable, match="312 NO_ROUTE"):
            publish(publisher, f"{name}.none")
        assert publish(publisher, name)
    assert len(bodies(channel, name)) == 2 and not publisher.over


def test_only_one_publishes_at_a_time_and_the_others_are_told(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            publisher = await asyncio.to_thread(opened, proxy.url)
            proxy.freeze()
            first = asyncio.create_task(asyncio.to_thread(publish, publisher, name))
            while not publisher._using.locked():
                await asyncio.sleep(0)
            assert not publish(publisher, name)
            assert not await asyncio.to_thread(closed, publisher)
            proxy.cut()
            with pytest.raises(ConnectionLost):
                await first
            assert publisher.over and not publish(publisher, name)

    asyncio.run(main())


def test_a_confirm_that_does_not_come_in_time_ends_the_connection(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            publisher = await asyncio.to_thread(opened, proxy.url)
            proxy.freeze()
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(publish, publisher, name, b"x", 0.05)
            assert publisher.over and not publish(publisher, name)

    asyncio.run(main())


def test_a_line_that_was_cut_while_nobody_used_it_sends_nothing(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            publisher = await asyncio.to_thread(opened, proxy.url)
            proxy.cut()
            while not publisher.over:
                publisher.look()
                await asyncio.sleep(0)
            assert not publish(publisher, name)
            assert await asyncio.to_thread(closed, publisher)

    asyncio.run(main())


def test_a_broker_that_stops_is_answered_when_the_connection_is_looked_after(own_broker: Broker, name: str) -> None:
    publisher = opened(own_broker.url)
    looking = threading.Event()

    async def look() -> None:
        while not publisher.over:
            publisher.look()
            await asyncio.sleep(0)
        looking.set()

    loop_thread().post(lambda: asyncio.ensure_future(look()))
    own_broker.stop()
    assert looking.wait(WAIT_S)
    assert not publish(publisher, name)
    assert "CONNECTION_FORCED" in str(publisher.error) or isinstance(
        own_broker, RabbitMQ
    )  # which may cut it off at once


def test_a_channel_that_the_broker_closes_ends_the_connection(publisher: Publisher, name: str) -> None:
    with pytest.raises(ChannelError, match="404"):
        publisher.publish(f"{name}.none", "", PERSISTENT, b"x", WAIT_S)
    assert publisher.over and not publish(publisher, name)


def test_while_the_broker_takes_nothing_nothing_is_sent(broker: Broker, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True)

    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            publisher = await asyncio.to_thread(opened, proxy.url)
            for method, blocked in ((ConnectionBlocked("low on memory"), True), (ConnectionUnblocked(), False)):
                proxy.inject(method_frame(0, encode_method(method)))
                while publisher.blocked is not blocked:
                    publisher.look()
                    await asyncio.sleep(0)
                assert await asyncio.to_thread(publish, publisher, name) is not blocked
            assert await asyncio.to_thread(closed, publisher)

    asyncio.run(main())
    assert bodies(channel, name) == [b"x"]


class Interrupted:
    """Ctrl-C while something is awaited."""

    def poll(self, wait_ms: float) -> list[tuple[int, int]]:
        if wait_ms:
            raise KeyboardInterrupt
        return []


def test_ctrl_c_while_waiting_ends_the_connection_and_nothing_else(
    broker: Broker, channel: BlockingChannel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.queue_declare(name, durable=True)
    publisher = opened(broker.url)
    monkeypatch.setattr(publisher, "_arrives", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        publish(publisher, name)
    assert publisher.over and not publish(publisher, name) and closed(publisher)


def test_it_is_watched_awake_only_while_confirms_come_soon(
    publisher: Publisher, channel: BlockingChannel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.queue_declare(name, durable=True)
    now_s = iter(step * AWAKE_S for step in range(1_000))
    monkeypatch.setattr("leveret.client.publisher.monotonic", lambda: next(now_s))
    publisher._quick = True
    assert publish(publisher, name, b"x", 1.0)
    assert not publisher._quick, "each look at the clock was a millisecond later"
    monkeypatch.setattr("leveret.client.publisher.monotonic", lambda: 0.0)
    assert publish(publisher, name, b"x", 1.0)
    assert publisher._quick


def test_there_is_none_over_tls() -> None:
    assert can_be_opened(parse_url("amqp://localhost/"))
    assert not can_be_opened(parse_url("amqps://localhost/"))
