"""One channel's exchange with the broker, step by step, against a broker without a socket (client/fake)."""

from __future__ import annotations

import asyncio

import pytest

from client.fake import FakeBroker, at_once, turns, until
from client.support import Collector, Signal, run
from leveret.client import Delivery, connect
from leveret.client.session import Session
from leveret.errors import ChannelError, ConnectionLost, WaitTimeout
from leveret.wire.methods import (
    BasicCancel,
    BasicConsumeOk,
    BasicNack,
    ChannelClose,
    ChannelCloseOk,
    ConnectionBlocked,
    Method,
)


def test_a_publish_right_behind_confirm_select_counts(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect()).channel()
        selecting = asyncio.create_task(channel.confirm_select())
        await asyncio.sleep(0)
        first = channel.publish_nowait(b"1")
        await selecting
        second = channel.publish_nowait(b"2")
        assert first is not None and second is not None
        await turns()
        fake.confirm(1, 1)
        await turns()
        assert first.done() and not second.done()

    run(main())


def test_confirm_select_twice_at_once_is_sent_once(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect()).channel()
        await asyncio.gather(channel.confirm_select(), channel.confirm_select())
        assert len(fake.named("confirm.select")) == 1
        confirm = channel.publish_nowait(b"x")
        assert confirm is not None
        fake.confirm(1, 1)
        await confirm

    run(main())


def test_a_channel_not_opened_in_time_is_given_back(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect()
        connection.timeout_s = 0.01
        del fake.answers["channel.open"]
        with pytest.raises(WaitTimeout):
            await connection.channel()
        await turns()
        assert fake.link is not None and not fake.link.sessions and not fake.link.machine.channels

    run(main())


def test_a_session_on_an_ended_link_says_so_at_once(fake: FakeBroker) -> None:
    async def main() -> None:
        await connect(reconnect=False)
        fake.cut()
        assert fake.link is not None
        with pytest.raises(ConnectionLost, match="cut"):
            await Session(fake.link, 9).open()

    run(main())


def test_an_end_right_behind_the_start_of_a_consumer_is_not_missed(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect()).channel()
        cancelled, closed = Signal(), Signal()
        for tag, end in (("A", BasicCancel("A", True)), ("B", ChannelClose(541, "INTERNAL_ERROR"))):

            def start(method: Method, tag: str = tag, end: Method = end) -> None:
                fake.machine.send(1, BasicConsumeOk(tag))
                fake.machine.send(1, end)
                fake.flush()

            fake.answers["basic.consume"] = start
            await channel.consume("q", print, consumer_tag=tag, on_cancel=cancelled, on_close=closed)
        await cancelled.wait()
        (error,) = await closed.wait()
        assert isinstance(error, ChannelError) and error.code == 541

    run(main())


def test_a_message_that_comes_too_late_for_its_get_goes_back(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect()).channel()
        for no_ack in (False, True):
            getting = asyncio.create_task(channel.get("q", no_ack))
            await turns()
            getting.cancel()
            await turns()
            fake.answer_get(channel.number, 7, b"late")
            await turns()
            nacks = fake.named("basic.nack")
            assert [(m.delivery_tag, m.requeue) for m in nacks if isinstance(m, BasicNack)] == [(7, True)]

    run(main())


def test_a_get_given_up_and_never_answered_leaves_nothing_behind(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect(reconnect=False)
        channel = await connection.channel()
        getting = asyncio.create_task(channel.get("q"))
        await turns()
        getting.cancel()
        await turns()
        fake.cut()
        await turns()
        assert not fake.named("basic.nack") and channel.closed

    run(main())


def test_who_blocks_publishers_and_dies_blocks_them_no_more(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel()
        told: list[tuple[bool, str]] = []
        connection.on_blocked = lambda blocked, reason: told.append((blocked, reason))
        fake.send(0, ConnectionBlocked("low on memory"))
        await until(lambda: connection.blocked)
        publishing = asyncio.create_task(channel.publish(b"x", routing_key="q"))
        await turns()
        assert not fake.published
        fake.cut()
        assert told == [(True, "low on memory"), (False, "")] and not connection.blocked
        await publishing
        await turns()
        assert fake.links == 2 and [message.body for message in fake.published] == [b"x"]

    run(main())


def test_a_publish_waits_for_room_in_the_socket(fake: FakeBroker) -> None:
    async def main() -> None:
        connection = await connect(backoff=at_once())
        channel = await connection.channel()
        assert fake.link is not None
        fake.link.pause_writing()
        publishing = asyncio.create_task(channel.publish(b"1", routing_key="q"))
        draining = asyncio.create_task(channel.drain())
        await turns()
        assert not fake.published and not draining.done()
        fake.link.resume_writing()
        await asyncio.gather(publishing, draining)
        fake.link.pause_writing()
        publishing = asyncio.create_task(channel.publish(b"2", routing_key="q"))
        await turns()
        fake.cut()
        await publishing
        await turns()
        assert [message.body for message in fake.published] == [b"1", b"2"]

    run(main())


def test_what_is_sent_while_the_channel_closes_fails_with_that(fake: FakeBroker) -> None:
    async def main() -> None:
        channel = await (await connect()).channel(confirms=True)
        taken = Collector[Delivery]()
        await channel.consume("q", taken, consumer_tag="T")
        fake.deliver(channel.number, "T", 1, b"x")
        delivery = await taken.take()
        confirm = channel.publish_nowait(b"x", routing_key="q")
        assert confirm is not None
        del fake.answers["channel.close"]
        closing = asyncio.create_task(channel.close())
        await turns()
        for late in (delivery.nack, lambda: channel.publish_nowait(b"y", routing_key="q")):
            with pytest.raises(ConnectionLost, match="closed by this program"):
                late()
        fake.send(channel.number, ChannelCloseOk())
        await closing
        with pytest.raises(ConnectionLost, match="closed by this program"):
            await confirm
        assert not fake.named("basic.nack") and len(fake.published) == 1

    run(main())
