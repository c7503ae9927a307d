"""What is restored on a new connection, in which order, and what if the broker refuses: without a socket."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from client.fake import FakeBroker, at_once, turns, until
from client.support import Signal, run
from leveret.client import Connection, connect
from leveret.client import connection as connection_module
from leveret.errors import ChannelError
from leveret.wire.methods import BasicCancel, BasicConsume, BasicQos, ChannelClose, Method, QueueDeclare

LOCKED = ChannelClose(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue", 50, 10)
IN_USE = ChannelClose(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", 60, 20)
OTHERWISE = ChannelClose(406, "PRECONDITION_FAILED - inequivalent arg 'durable'", 50, 10)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "PATIENCE_INTERVALS", 0)


def refuse(fake: FakeBroker, name: str, queue: str, refusal: Method, when: Callable[[], bool]) -> None:
    """Answer `name` on `queue` with `refusal`."""
    answer = fake.answers[name]

    def refusing(method: Method) -> Method | None:
        assert isinstance(method, (QueueDeclare, BasicConsume))
        return refusal if method.queue == queue and when() else answer(method)

    fake.answers[name] = refusing


async def reconnected(fake: FakeBroker, connection: Connection) -> None:
    fake.methods.clear()
    fake.cut()
    await until(lambda: connection.connected)
    await turns()


def queues(fake: FakeBroker, name: str) -> list[str]:
    return [m.queue for m in fake.named(name) if isinstance(m, (QueueDeclare, BasicConsume))]


def test_a_queue_our_lost_connection_still_holds_is_waited_for(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel()
        await channel.queue_declare("q", exclusive=True)
        consumer = await channel.consume("q", print)
        refuse(fake, "queue.declare", "q", LOCKED, lambda: fake.links < 4)
        await reconnected(fake, connection)
        assert fake.links == 4 and queues(fake, "basic.consume") == ["q"] and not consumer.cancelled

    run(main())


def test_a_queue_that_stays_locked_ends_its_own_consumers_only(fake: FakeBroker, impatient: None) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel()
        for queue in ("a", "q", "z"):
            await channel.queue_declare(queue, exclusive=True)
        ended = Signal()
        consumer = await channel.consume("q", print, on_close=ended)
        other = await channel.consume("z", print)
        refuse(fake, "queue.declare", "q", LOCKED, lambda: True)
        await reconnected(fake, connection)
        (error,) = await ended.wait()
        assert isinstance(error, ChannelError) and error.code == 405 and consumer.cancelled
        assert fake.links == 2 and queues(fake, "basic.consume") == ["z"]
        assert list(channel.consumers.values()) == [other] and not channel.closed

    run(main())


def test_an_exclusive_consumer_waits_for_the_end_of_its_former_self(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel()
        consumer = await channel.consume("q", print, exclusive=True)
        refuse(fake, "basic.consume", "q", IN_USE, lambda: fake.links < 4)
        await reconnected(fake, connection)
        assert fake.links == 4 and list(channel.consumers.values()) == [consumer] and not channel.closed

    run(main())


def test_an_exclusive_consumer_somebody_else_keeps_out_ends_its_channel(fake: FakeBroker, impatient: None) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel, other = await connection.channel(), await connection.channel()
        closed = Signal()
        channel.on_close = closed
        await channel.consume("q", print, exclusive=True)
        await other.consume("p", print)
        refuse(fake, "basic.consume", "q", IN_USE, lambda: True)
        await reconnected(fake, connection)
        (error,) = await closed.wait()
        assert isinstance(error, ChannelError) and error.code == 403
        assert fake.links == 2 and channel.closed and not other.closed and len(other.consumers) == 1

    run(main())


def test_what_is_refused_is_left_out_and_all_behind_it_declared(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel()
        names = [f"q{number}" for number in range(250)]
        for name in names:
            await channel.queue_declare(name)
        answered: list[str] = []
        answer = fake.answers["queue.declare"]

        def declare(method: Method) -> Method | None:
            assert isinstance(method, QueueDeclare)
            if method.queue in ("q0", "q120", "q249"):
                return OTHERWISE
            answered.append(method.queue)
            return answer(method)

        fake.answers["queue.declare"] = declare
        await reconnected(fake, connection)
        assert answered == [name for name in names if name not in ("q0", "q120", "q249")] and fake.links == 2

    run(main())


def test_queues_are_declared_without_waiting_for_each_other(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect(backoff=at_once())).channel()
        for name in "abc":
            await channel.queue_declare(name)
        del fake.answers["queue.declare"]
        fake.methods.clear()
        fake.cut()
        await until(lambda: queues(fake, "queue.declare") == ["a", "b", "c"])

    run(main())


def test_each_consumer_is_started_again_with_its_prefetch(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel(prefetch=1)
        await channel.qos(50, global_=True)
        for tag, prefetch in (("A", 1), ("B", 5), ("C", 5)):
            await channel.qos(prefetch)
            await channel.consume("q", print, consumer_tag=tag)
        await channel.qos(9)
        await reconnected(fake, connection)
        told = [
            (m.prefetch_count, m.global_) if isinstance(m, BasicQos) else m.consumer_tag
            for _, m in fake.methods
            if isinstance(m, (BasicQos, BasicConsume))
        ]
        assert told == [(50, True), (9, False), (1, False), "A", (5, False), "B", "C", (9, False)]

    run(main())


@pytest.mark.parametrize("end", [BasicCancel("T", True), ChannelClose(541, "INTERNAL_ERROR")])
def test_a_queue_that_went_with_its_last_consumer_is_not_declared_again(fake: FakeBroker, end: Method) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel()
        await channel.queue_declare("q", auto_delete=True)
        await channel.queue_declare("stays")
        await channel.consume("q", print, consumer_tag="T")
        fake.send(channel.number, end)
        await turns()
        await reconnected(fake, connection)
        assert queues(fake, "queue.declare") == ["stays"]

    run(main())
