"""The user-id of a message is checked against who publishes it (rabbitmq.com/docs/validated-user-id)."""

from __future__ import annotations

import pytest

from broker.support import World
from leveret.errors import ChannelError


def test_another_users_name_is_refused() -> None:
    world = World(None)
    queue = world.queue()
    with pytest.raises(ChannelError, match="user_id property set to 'other' but authenticated user was 'guest'"):
        world.publish(world.client().channel(), b"x", user_id="other")
    assert queue.ready == 0


def test_an_impersonator_may_use_any_name() -> None:
    world = World(None)
    queue = world.queue()
    client = world.client()
    client.tags = ("impersonator",)
    world.publish(client.channel(), b"x", user_id="other")
    assert queue.ready == 1
