"""What the program does while its connection is being restored, step by step, against a broker without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from client.fake import FakeBroker, at_once, turns, until
from client.support import Collector, Signal, run
from leveret.client import Backoff, Connection, ConnectionClosed, Delivery, connect, handshake
from leveret.client.transport import Link
from leveret.client.url import Endpoint, Target
from leveret.errors import ConnectionLost, WaitTimeout
from leveret.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    ConnectionClose,
    Method,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)


async def connected() -> Connection:
    return await connect(backoff=at_once())


def consumes_and_cancels(fake: FakeBroker) -> list[tuple[str, str]]:
    return [(m.name, m.consumer_tag) for _, m in fake.methods if isinstance(m, (BasicConsume, BasicCancel))]


async def restoring_a_declare(fake: FakeBroker) -> None:
    """Cut the link, and stop where the restoring client waits for the answer to its first queue.declare."""
    declared = len(fake.named("queue.declare"))
    del fake.answers["queue.declare"]
    fake.cut()
    await until(lambda: len(fake.named("queue.declare")) > declared)


def restorers_channel(fake: FakeBroker) -> int:
    return next(channel for channel, method in reversed(fake.methods) if method.name == "queue.declare")


def finish_declare(fake: FakeBroker, queue: str) -> None:
    fake.send(restorers_channel(fake), QueueDeclareOk(queue, 0, 0))


def test_a_publish_during_the_restoring_waits_for_its_end(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connected()
        channel = await connection.channel()
        await channel.queue_declare("q")
        await restoring_a_declare(fake)
        with pytest.raises(ConnectionLost):
            channel.publish_nowait(b"early", routing_key="q")
        publishing = asyncio.create_task(channel.publish(b"x", routing_key="q"))
        await turns()
        assert not fake.published and not connection.connected
        finish_declare(fake, "q")
        await publishing
        await turns()
        assert [message.body for message in fake.published] == [b"x"] and connection.connected

    run(main())


def test_a_consumer_started_during_the_restoring_is_started_once(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connected()
        channel = await connection.channel()
        await channel.queue_declare("q")
        await restoring_a_declare(fake)
        starting = asyncio.create_task(channel.consume("q", print, consumer_tag="T"))
        await turns()
        finish_declare(fake, "q")
        await starting
        await until(lambda: connection.connected)
        assert consumes_and_cancels(fake) == [("basic.consume", "T")]

    run(main())


def test_a_consumer_cancelled_while_others_are_started_again_stays_stopped(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connected()
        channel = await connection.channel()
        await channel.consume("q", print, consumer_tag="A")
        consumer = await channel.consume("q", print, consumer_tag="B")
        del fake.answers["basic.consume"]
        fake.cut()
        await until(lambda: len(fake.named("basic.consume")) >= 3)
        await consumer.cancel()
        fake.send(channel.number, BasicConsumeOk("A"))
        fake.send(channel.number, BasicConsumeOk("B"))
        await until(lambda: connection.connected)
        await turns()
        assert consumes_and_cancels(fake)[-1] == ("basic.cancel", "B") and list(channel.consumers) == ["A"]

    run(main())


def test_a_consumer_cancelled_while_it_is_started_again_is_stopped_behind_that(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connected()).channel()
        consumer = await channel.consume("q", print, consumer_tag="T")
        del fake.answers["basic.consume"]
        fake.cut()
        await until(lambda: len(fake.named("basic.consume")) == 2)
        await consumer.cancel()
        fake.deliver(channel.number, "T", 1, b"x")
        fake.send(channel.number, BasicConsumeOk("T"))
        await channel.qos(1)
        assert consumes_and_cancels(fake)[1:] == [("basic.consume", "T"), ("basic.cancel", "T")]
        assert len(fake.named("basic.nack")) == 1

    run(main())


def test_a_cancel_without_an_answer_holds_after_a_reconnect(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connected()
        channel = await connection.channel()
        consumer = await channel.consume("q", print)
        del fake.answers["basic.cancel"]
        connection.timeout_s = 0.01
        with pytest.raises(WaitTimeout):
            await consumer.cancel()
        connection.timeout_s = 10.0
        fake.cut()
        await channel.qos(1)
        assert fake.links == 2 and len(fake.named("basic.consume")) == 1 and not channel.consumers

    run(main())


def test_a_delivery_that_nobody_takes_goes_back_and_its_consumer_is_stopped_once(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connected()).channel()
        for number in (1, 2, 3):
            fake.deliver(channel.number, "nobody's", number, b"x")
        await turns()
        assert consumes_and_cancels(fake) == [("basic.cancel", "nobody's")]
        assert len(fake.named("basic.nack")) == 3

    run(main())


def test_a_no_ack_delivery_that_nobody_takes_is_not_nacked(fake: FakeBroker) -> None:
    """RabbitMQ answers the nack of a delivery that needs none with 406, which closes the channel."""

    async def main() -> None:
        channel = await (await connected()).channel()
        del fake.answers["basic.consume"]
        starting = asyncio.create_task(channel.consume("q", print, no_ack=True, consumer_tag="T"))
        await turns()
        starting.cancel()
        fake.send(channel.number, BasicConsumeOk("T"))
        fake.deliver(channel.number, "T", 1, b"x")
        await turns()
        assert not fake.named("basic.nack") and consumes_and_cancels(fake)[-1] == ("basic.cancel", "T")

    run(main())


def test_a_consumer_given_up_while_it_starts_is_stopped_once_it_has_started(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connected()
        channel = await connection.channel()
        del fake.answers["basic.consume"]
        starting = asyncio.create_task(channel.consume("q", print, consumer_tag="A"))
        await turns()
        starting.cancel()
        connection.timeout_s = 0.01
        with pytest.raises(WaitTimeout):
            await channel.consume("q", print, consumer_tag="B")
        await turns()
        assert consumes_and_cancels(fake) == [("basic.consume", "A"), ("basic.consume", "B")]
        fake.send(channel.number, BasicConsumeOk("A"))
        fake.send(channel.number, BasicConsumeOk("B"))
        await turns()
        assert consumes_and_cancels(fake)[2:] == [("basic.cancel", "A"), ("basic.cancel", "B")]
        assert not channel.consumers

    run(main())


def test_a_channel_closed_during_the_restoring_stays_closed_and_harms_no_other(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connected()
        channel, other = await connection.channel(), await connection.channel()
        taken = Collector[Delivery]()
        await channel.queue_declare("q")
        await channel.consume("q", print)
        await other.consume("q", taken, consumer_tag="T")
        await restoring_a_declare(fake)
        await channel.close()
        finish_declare(fake, "q")
        await other.qos(1)
        await turns()
        assert fake.links == 2 and sorted(fake.machine.channels) == [other.number]
        fake.deliver(other.number, "T", 1, b"x")
        assert (await taken.take()).body == b"x"

    run(main())


@pytest.mark.parametrize("verb", ["get", "queue_delete", "consume"])
def test_a_queue_the_broker_named_is_asked_for_by_its_new_name(fake: FakeBroker, verb: str) -> None:
    async def main() -> None:
        asked: list[str] = []

        def remember(answer: Method) -> None:
            def answering(method: Method) -> Method:
                assert isinstance(method, (BasicGet, QueueDelete, BasicConsume))
                asked.append(method.queue)
                return BasicConsumeOk(method.consumer_tag) if isinstance(method, BasicConsume) else answer

            for name in ("basic.get", "queue.delete", "basic.consume"):
                fake.answers[name] = answering

        channel = await (await connected()).channel()
        queue = (await channel.queue_declare("", exclusive=True)).queue
        fake.answers["queue.declare"] = lambda _: QueueDeclareOk("amq.gen-new", 0, 0)
        remember(BasicGetEmpty() if verb == "get" else QueueDeleteOk(0))
        fake.cut()
        if verb == "consume":
            await channel.consume(queue, print)
        else:
            await getattr(channel, verb)(queue)
        assert asked == ["amq.gen-new"]

    run(main())


def test_a_host_that_is_none_is_tried_again_like_one_that_does_not_answer(
    fake: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        connection = await connected()
        plugged = handshake._connect
        failures = [UnicodeError("label empty or too long"), OSError("refused")]

        async def fail(*values: Any) -> None:
            if failures:
                raise failures.pop()
            await plugged(*values)

        monkeypatch.setattr(handshake, "_connect", fail)
        fake.cut()
        await until(lambda: connection.connected)
        assert not failures and fake.links == 2

    run(main())


def test_a_failure_of_the_client_itself_ends_the_connection_and_says_so(
    fake: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        connection = await connected()
        channel = await connection.channel()
        lost, closed = Signal(), Signal()

        async def fail(*_: Any) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(handshake, "_connect", fail)
        connection.on_lost, channel.on_close = lost, closed
        waiting = asyncio.create_task(channel.qos(1))
        fake.cut()
        (error,) = await closed.wait()
        assert connection.closed and "a bug" in str(error)
        with pytest.raises(ConnectionLost):
            await waiting
        assert "a bug" in str((await lost.wait())[0])

    run(main())


def test_of_several_hosts_errors_the_brokers_refusal_is_raised(fake: FakeBroker) -> None:
    def refuse(_: Method) -> Method:
        return (
            ConnectionClose(403, "ACCESS_REFUSED - no")
            if fake.links == 1
            else ConnectionClose(320, "CONNECTION_FORCED")
        )

    fake.answers["connection.start-ok"] = refuse
    with pytest.raises(ConnectionClosed, match="403"):
        run(connect("amqp://one,two/"))


@pytest.mark.parametrize(("lived_s", "attempts"), [(30.0, [0, 1, 2]), (0.0, [0, 0, 0])])
def test_a_connection_has_to_live_for_a_while_before_pauses_are_short_again(
    fake: FakeBroker, lived_s: float, attempts: list[int]
) -> None:
    waited: list[int] = []

    class Remembering(Backoff):
        async def wait(self, attempt: int) -> None:
            waited.append(attempt)

    async def main() -> None:
        connection = await connect(backoff=Remembering(max_s=lived_s))
        for _ in attempts:
            fake.cut()
            await until(lambda: connection.connected)
        assert waited == attempts

    run(main())


def test_of_several_hosts_another_is_taken_when_one_is_lost(fake: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        plugged, tried = handshake._connect, list[str]()

        async def connect_to(link: Link, endpoint: Endpoint, target: Target) -> None:
            tried.append(endpoint.host)
            if endpoint.host == "one" and len(tried) > 1:
                raise OSError("refused")
            await plugged(link, endpoint, target)

        monkeypatch.setattr(handshake, "_connect", connect_to)
        connection = await connect("amqp://one,two/", backoff=at_once())
        channel = await connection.channel()
        fake.cut()
        await channel.qos(1)
        assert tried == ["one", "one", "two"]

    run(main())
