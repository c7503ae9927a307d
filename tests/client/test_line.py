"""A line for publishing from the calling thread: what it promises, on both brokers, and how it ends."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker, RabbitMQ
from client.proxy import Proxy
from client.support import WAIT_S
from leveret.client import BasicProperties
from leveret.client.line import AWAKE_S, Line, can_be_opened, open_line
from leveret.client.threads import loop_thread
from leveret.client.url import parse_url
from leveret.errors import ChannelError, ConnectionLost, Unroutable

PERSISTENT = BasicProperties(delivery_mode=2)


def opened(url: str) -> Line:
    return loop_thread().run(open_line(parse_url(url), "a line", WAIT_S), WAIT_S, "a line")


def closed(line: Line) -> bool:
    return loop_thread().run(line.close(), WAIT_S, "its end")


@pytest.fixture
def line(broker: Broker) -> Iterator[Line]:
    line = opened(broker.url)
    yield line
    closed(line)


def publish(line: Line, queue: str, body: bytes = b"x", timeout_s: float = WAIT_S) -> bool:
    return line.publish("", queue, PERSISTENT, body, timeout_s)


def bodies(channel: BlockingChannel, queue: str) -> list[bytes]:
    found = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append(body)


def test_what_is_confirmed_is_in_the_queue_in_its_order(line: Line, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True)
    assert all(publish(line, name, b"%d" % number) for number in range(200))
    assert bodies(channel, name) == [b"%d" % number for number in range(200)]


def test_a_message_of_many_frames_that_no_socket_takes_at_once(line: Line, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True)
    body = os.urandom(16 * 1024 * 1024)
    assert publish(line, name, body)
    assert bodies(channel, name) == [body]


def test_what_is_returned_is_told_and_the_line_goes_on(line: Line, channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True)
    for _ in range(2):
        with pytest.raises(Unroutable, match="312 NO_ROUTE"):
            publish(line, f"{name}.none")
        assert publish(line, name)
    assert len(bodies(channel, name)) == 2 and not line.over


def test_only_one_publishes_at_a_time_and_the_others_are_told(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            line = await asyncio.to_thread(opened, proxy.url)
            proxy.freeze()
            first = asyncio.create_task(asyncio.to_thread(publish, line, name))
            while not line._using.locked():
                await asyncio.sleep(0)
            assert not publish(line, name)
            assert not await asyncio.to_thread(closed, line)
            proxy.cut()
            with pytest.raises(ConnectionLost):
                await first
            assert line.over and not publish(line, name)

    asyncio.run(main())


def test_a_confirm_that_does_not_come_in_time_ends_the_line(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            line = await asyncio.to_thread(opened, proxy.url)
            proxy.freeze()
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(publish, line, name, b"x", 0.05)
            assert line.over and not publish(line, name)

    asyncio.run(main())


def test_a_line_that_was_cut_while_nobody_used_it_sends_nothing(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            line = await asyncio.to_thread(opened, proxy.url)
            proxy.cut()
            while not line.over:
                line.look()
                await asyncio.sleep(0.001)
            assert not publish(line, name)
            assert await asyncio.to_thread(closed, line)

    asyncio.run(main())


def test_a_broker_that_stops_is_answered_when_the_line_is_looked_after(own_broker: Broker, name: str) -> None:
    line = opened(own_broker.url)
    looking = threading.Event()

    async def look() -> None:
        while not line.over:
            line.look()
            await asyncio.sleep(0.001)
        looking.set()

    loop_thread().post(lambda: asyncio.ensure_future(look()))
    own_broker.stop()
    assert looking.wait(WAIT_S)
    assert not publish(line, name)
    assert "CONNECTION_FORCED" in str(line.error) or isinstance(own_broker, RabbitMQ)  # which may cut it off at once


def test_a_channel_that_the_broker_closes_ends_the_line(line: Line, name: str) -> None:
    with pytest.raises(ChannelError, match="404"):
        line.publish(f"{name}.none", "", PERSISTENT, b"x", WAIT_S)
    assert line.over and not publish(line, name)


class Interrupted:
    """Ctrl-C while something is awaited."""

    def poll(self, wait_ms: float) -> list[tuple[int, int]]:
        if wait_ms:
            raise KeyboardInterrupt
        return []


def test_ctrl_c_while_waiting_ends_the_line_and_nothing_else(
    broker: Broker, channel: BlockingChannel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.queue_declare(name, durable=True)
    line = opened(broker.url)
    monkeypatch.setattr(line, "_arrives", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        publish(line, name)
    assert line.over and not publish(line, name) and closed(line)


def test_it_is_watched_awake_only_while_confirms_come_soon(
    line: Line, channel: BlockingChannel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.queue_declare(name, durable=True)
    now_s = iter(step * AWAKE_S for step in range(1_000))
    monkeypatch.setattr("leveret.client.line.monotonic", lambda: next(now_s))
    line._quick = True
    assert publish(line, name, b"x", 1.0)
    assert not line._quick, "each look at the clock was a millisecond later"
    monkeypatch.setattr("leveret.client.line.monotonic", lambda: 0.0)
    assert publish(line, name, b"x", 1.0)
    assert line._quick


def test_there_is_none_over_tls() -> None:
    assert can_be_opened(parse_url("amqp://localhost/"))
    assert not can_be_opened(parse_url("amqps://localhost/"))
