"""Timers: what is cancelled does not happen, keeps nothing in memory, and does not pile up."""

from __future__ import annotations

import gc
import weakref

from broker.support import World, consume
from leveret.broker.timers import SWEPT_MIN, Timers


def test_calls_come_in_order_and_cancelled_ones_do_not() -> None:
    timers = Timers()
    came: list[int] = []
    made = [timers.add(at, lambda at=at: came.append(at)) for at in (3, 1, 2)]  # type: ignore[misc]
    made[2].cancel()
    timers.run(2)
    timers.run(5)
    assert (came, timers.next_at()) == ([1, 3], 0)


def test_a_call_may_set_the_next_one_and_cancel_what_has_come() -> None:
    timers = Timers()
    came: list[int] = []

    def call() -> None:
        came.append(1)
        timers.add(2, lambda: came.append(2))
        first.cancel()

    first = timers.add(1, call)
    timers.run(2)
    first.cancel()
    assert came == [1, 2]


def test_cancelled_calls_are_swept() -> None:
    timers = Timers()
    kept = timers.add(10**9, lambda: None)
    for at in range(10 * SWEPT_MIN):
        timers.add(10**6 + at, lambda: None).cancel()
    assert len(timers._heap) <= 2 * SWEPT_MIN and kept.call is not None
    timers.run(10**8)
    assert timers.next_at() == 10**9


def test_a_channel_and_a_queue_that_are_gone_are_not_kept_until_their_timers_would_have_come() -> None:
    """Thirty minutes of acknowledgement timeout, a day of x-expires, an hour to live."""
    world = World(None, consumer_timeout_ms=1_800_000)
    target = world.queue(x_expires=86_400_000, x_message_ttl=3_600_000)
    client = world.client()
    channel = client.channel()
    consume(channel, target, prefetch=1)
    for body in (b"held", b"waits"):
        world.publish(channel, body)
    assert len(world.broker.timers._heap) == 3
    gone = weakref.ref(client)
    world.broker.disconnect(client)
    world.broker.vhosts["/"].delete_queue(target)
    assert all(timer.call is None for _, _, timer in world.broker.timers._heap)
    del client, channel, target
    gc.collect()
    assert gone() is None
