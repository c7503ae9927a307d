"""Connecting, being refused, closing: the asyncio client against both brokers."""

from __future__ import annotations

import asyncio

import pytest

from brokers import Broker, free_port
from client.proxy import Proxy
from client.support import Signal, run
from leveret.client import ConnectionClosed, connect
from leveret.errors import ClientError, ConnectionError, ConnectionLost, LeveretError


def test_it_connects_and_knows_the_broker(broker: Broker) -> None:
    async def main() -> None:
        async with await connect(broker.url, name="hare") as connection:
            assert connection.connected and not connection.closed and not connection.blocked
            assert connection.server_properties["product"] in ("Leveret", "RabbitMQ")
        assert connection.closed and not connection.connected

    run(main())


def test_of_several_hosts_one_that_answers_is_taken(broker: Broker) -> None:
    async def main() -> None:
        url = f"amqp://guest:guest@127.0.0.1:{free_port()},127.0.0.1:{broker.port}/"
        async with await connect(url) as connection:
            assert connection.connected

    run(main())


def test_nobody_there_is_connection_lost() -> None:
    with pytest.raises(ConnectionLost):
        run(connect(f"amqp://127.0.0.1:{free_port()}/"))


@pytest.mark.parametrize(("path", "code"), [("guest:wrong@HOST/", 403), ("guest:guest@HOST/nowhere", 530)])
def test_a_refusal_has_the_brokers_code(broker: Broker, path: str, code: int) -> None:
    with pytest.raises(ConnectionError) as caught:
        run(connect("amqp://" + path.replace("HOST", f"127.0.0.1:{broker.port}")))
    assert caught.value.code == code


@pytest.mark.parametrize("url", ["http://localhost/", "amqp://localhost:many/", "amqp://localhost/?heartbeat=often"])
def test_a_url_that_is_none_says_so(url: str) -> None:
    with pytest.raises(ClientError):
        run(connect(url))


def test_a_host_that_says_nothing_is_given_up(broker: Broker) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            proxy.freeze()
            with pytest.raises(LeveretError):
                await connect(proxy.url, timeout_s=0.2)

    run(main())


def test_a_half_open_link_is_cut_by_the_heartbeat(broker: Broker) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            connection = await connect(proxy.url, heartbeat_s=1, reconnect=False)
            lost = Signal()
            connection.on_lost = lost
            proxy.freeze()
            (error,) = await lost.wait()
            assert isinstance(error, ConnectionLost)
            assert connection.closed

    run(main())


def test_garbage_from_the_broker_ends_the_connection_with_a_clear_error(broker: Broker) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            connection = await connect(proxy.url, reconnect=False)
            lost = Signal()
            connection.on_lost = lost
            proxy.inject(b"\x09\x00\x00\x00\x00\x00\x01x\xce" * 2)
            (error,) = await lost.wait()
            assert isinstance(error, LeveretError) and connection.closed

    run(main())


def test_what_is_closed_stays_closed_and_says_so(broker: Broker) -> None:
    async def main() -> None:
        connection = await connect(broker.url)
        channel = await connection.channel()
        await connection.close()
        await connection.close()
        with pytest.raises(ConnectionLost, match="closed by this program"):
            await connection.channel()
        with pytest.raises(LeveretError):
            await channel.publish(b"x", routing_key="nowhere")

    run(main())


def test_many_connections_at_once(broker: Broker) -> None:
    async def main() -> None:
        connections = await asyncio.gather(*(connect(broker.url) for _ in range(50)))
        assert all(connection.connected for connection in connections)
        await asyncio.gather(*(connection.close() for connection in connections))

    run(main())


def test_a_broker_that_stops_says_so(own_broker: Broker) -> None:
    async def main() -> None:
        connection = await connect(own_broker.url, reconnect=False)
        lost = Signal()
        connection.on_lost = lost
        await asyncio.to_thread(own_broker.stop)
        (error,) = await lost.wait()
        assert isinstance(error, ConnectionClosed)
        assert (error.code, error.text[:17]) == (320, "CONNECTION_FORCED")

    run(main(), 60.0)
