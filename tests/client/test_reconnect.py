"""A connection that is lost comes back with everything on it: the asyncio client against both brokers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from brokers import Broker
from client.proxy import Proxy
from client.support import Collector, Signal, acking, run, swift
from leveret.client import Backoff, BasicProperties, Connection, Delivery, connect
from leveret.errors import ChannelError, ConnectionLost, LeveretError, TaskError


def test_channels_queues_bindings_and_consumers_are_restored(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=swift()) as connection:
            restored = Signal()
            connection.on_reconnect = restored
            channel = await connection.channel(prefetch=2, confirms=True)
            await channel.exchange_declare(name, "topic", auto_delete=True)
            queue = (await channel.queue_declare("", exclusive=True)).queue
            await channel.queue_bind(queue, name, "a.#")
            taken = acking()
            await channel.consume(queue, taken)
            for number in range(3):
                await channel.publish(b"%d" % number, exchange=name, routing_key="a.b", mandatory=True)
                assert (await taken.take()).body == b"%d" % number
                proxy.cut()
                await restored.wait()
            await channel.publish(b"last", exchange=name, routing_key="a.b", mandatory=True)
            assert (await taken.take()).body == b"last"
            assert proxy.accepted == 4

    run(main())


def test_before_each_attempt_the_program_is_asked_and_may_fail(broker: Broker) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=swift()) as connection:
            restored = Signal()
            connection.on_reconnect = restored
            asked: list[int] = []

            async def before() -> None:
                asked.append(proxy.accepted)
                if len(asked) < 3:
                    raise TaskError("not yet")

            connection.before_attempt = before
            proxy.cut()
            await restored.wait()
            assert asked == [1, 1, 1]
            assert proxy.accepted == 2

    run(main())


def test_prefetch_is_restored(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=swift()) as connection:
            restored = Signal()
            connection.on_reconnect = restored
            channel = await connection.channel(prefetch=1, confirms=True)
            await channel.queue_declare(name)
            for _ in range(3):
                await channel.publish(b"x", routing_key=name)
            taken = Collector[Delivery]()
            await channel.consume(name, taken)
            await taken.take()
            proxy.cut()
            await restored.wait()
            await taken.take()
            assert (await channel.queue_declare(name, passive=True)).messages == 2
            assert taken.empty
            await channel.queue_delete(name)

    run(main())


def test_a_queue_that_is_not_to_be_remembered_does_not_come_back(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=swift()) as connection:
            restored = Signal()
            connection.on_reconnect = restored
            async with await connect(broker.url) as other:
                deleting = await other.channel()
                channel = await connection.channel()
                await channel.queue_declare(name)
                await channel.queue_declare(f"{name}.once", remember=False)
                for queue in (name, f"{name}.once"):
                    await deleting.queue_delete(queue)
                proxy.cut()
                await restored.wait()
                await deleting.queue_declare(name, passive=True)
                with pytest.raises(ChannelError, match="no queue"):
                    await deleting.queue_declare(f"{name}.once", passive=True)
            await (await connection.channel()).queue_delete(name)

    run(main())


def test_a_publish_without_its_confirm_is_connection_lost(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=swift()) as connection:
            channel = await connection.channel(confirms=True)
            await channel.queue_declare(name, exclusive=True)
            proxy.freeze()
            confirm = channel.publish_nowait(b"x", routing_key=name)
            assert confirm is not None
            proxy.cut()
            proxy.thaw()
            with pytest.raises(ConnectionLost):
                await confirm
            await channel.publish(b"y", routing_key=name, mandatory=True)

    run(main())


def test_a_publish_waits_for_the_connection_to_come_back(broker: Broker, name: str) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy, await connect(proxy.url, backoff=swift()) as connection:
            lost = Signal()
            connection.on_lost = lost
            channel = await connection.channel(confirms=True)
            await channel.queue_declare(name)
            proxy.open_to = False
            proxy.cut()
            await lost.wait()
            publishing = asyncio.create_task(channel.publish(b"x", routing_key=name, mandatory=True))
            with pytest.raises(LeveretError):
                channel.publish_nowait(b"y", routing_key=name)
            proxy.open_to = True
            await publishing
            assert await channel.queue_delete(name) == 1

    run(main())


def test_closing_while_the_broker_is_away_ends_the_attempts(broker: Broker) -> None:
    async def main() -> None:
        async with Proxy(broker.port) as proxy:
            connection = await connect(proxy.url, backoff=swift())
            lost = Signal()
            connection.on_lost = lost
            proxy.open_to = False
            proxy.cut()
            await lost.wait()
            await connection.close()
            assert connection.closed

    run(main())


def test_a_broker_killed_and_started_again_has_what_was_confirmed(own_broker: Broker, name: str) -> None:
    async def main() -> None:
        connection = await connect(own_broker.url, backoff=swift())
        restored = Signal()
        connection.on_reconnect = restored
        channel = await connection.channel(confirms=True)
        await channel.queue_declare(name, durable=True)
        for number in range(10):
            await channel.publish(
                b"%d" % number, routing_key=name, properties=BasicProperties(delivery_mode=2), mandatory=True
            )
        await asyncio.to_thread(own_broker.keep_declared)
        await asyncio.to_thread(own_broker.kill)
        await asyncio.to_thread(own_broker.start)
        await restored.wait()
        taken = acking()
        await channel.consume(name, taken)
        assert [one.body for one in await taken.take_many(10)] == [b"%d" % number for number in range(10)]
        await connection.close()

    run(main(), 120.0)


def test_a_unix_socket_is_spoken_to_and_connected_to_again(broker: Broker, name: str, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "broker.sock")
        async with (
            Proxy(broker.port, path=path) as proxy,
            await connect(f"amqp+unix://{path}", backoff=swift()) as connection,
        ):
            restored = Signal()
            connection.on_reconnect = restored
            channel = await connection.channel(confirms=True)
            await channel.queue_declare(name, auto_delete=True)
            proxy.cut()
            await restored.wait()
            await channel.publish(b"x", routing_key=name, mandatory=True)
            assert await channel.queue_delete(name) == 1 and proxy.accepted == 2

    run(main())


@pytest.mark.parametrize("held", ["queue", "consumer"])
def test_what_is_exclusive_waits_for_who_still_holds_it(broker: Broker, name: str, held: str) -> None:
    """As after a half-open loss, when the broker takes the old connection for alive: here another one stands for it."""

    async def main() -> None:
        tried = Signal()

        async def take_over(other: Connection) -> bool:
            former = await other.channel()
            try:
                if held == "queue":
                    await former.queue_declare(name, exclusive=True)
                else:
                    await former.consume(name, print, exclusive=True)
            except ChannelError:
                return False
            return True

        async def pause(delay_s: float) -> None:
            tried()
            await asyncio.sleep(delay_s)

        async with (
            Proxy(broker.port) as proxy,
            await connect(broker.url) as other,
            await connect(proxy.url, backoff=Backoff(0.005, 0.05, sleep=pause)) as connection,
        ):
            restored, lost, taken = Signal(), Signal(), acking()
            connection.on_reconnect, connection.on_lost = restored, lost
            channel = await connection.channel(confirms=True)
            await channel.queue_declare(name, exclusive=held == "queue")
            await channel.consume(name, taken, exclusive=held == "consumer")
            proxy.open_to = False
            proxy.cut()
            await lost.wait()
            while not await take_over(other):  # until the broker has noticed the cut
                pass
            proxy.open_to = True
            for _ in range(4):  # at least two of these attempts found the proxy open, and were refused
                await tried.wait()
            assert not connection.connected and not channel.closed
            await other.close()
            await restored.wait()
            await channel.publish(b"x", routing_key=name, mandatory=True)
            assert (await taken.take()).body == b"x"
            await channel.queue_delete(name)

    run(main())
