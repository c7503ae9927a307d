"""Limits of the whole broker that no client meets on the wire: tests/server/test_edges.py has the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.support import Client, World
from leveret.broker.ids import COUNT_MAX, QueueIds
from leveret.errors import ChannelError


def test_the_last_number_for_a_queue_is_given_and_no_further_one() -> None:
    ids = QueueIds()
    ids.used({COUNT_MAX - 1})
    ids._free.clear()
    assert ids.take() == COUNT_MAX
    with pytest.raises(ChannelError, match="the store has no number for one more queue"):
        ids.take()
    ids.give(7)
    assert ids.take() == 7


class Sparing(Client):
    spared = 0

    def spare_memory(self) -> None:
        self.spared += 1


def test_a_memory_alarm_makes_connections_forget_what_they_only_remember() -> None:
    world = World(None)
    peer = Sparing(world.broker)
    world.broker.peers[id(peer)] = peer
    alarms = world.broker.alarms
    alarms.set(False, True)
    assert peer.spared == 0
    for _ in range(2):
        alarms.set(True, True)
    assert peer.spared == 1


def test_bindings_are_counted_over_a_restart_and_when_exchanges_and_virtual_hosts_go(tmp_path: Path) -> None:
    world = World(tmp_path)
    vhost = world.broker.vhosts["/"]
    queue = world.queue("q")
    for name in ("a", "b"):
        vhost.declare_exchange(name, "fanout", True, False, False, {})
        vhost.bind(name, queue, "", {})
    vhost.bind("a", vhost.exchange("b"), "", {})
    vhost.bind("b", vhost.exchange("b"), "", {})
    assert world.broker.commons.bindings == 4
    world.settle()
    world.store.close()
    world = World(tmp_path)
    assert world.broker.commons.bindings == 4
    world.broker.vhosts["/"].delete_exchange("b", False)
    assert world.broker.commons.bindings == 1
    world.broker.tenants.delete_vhost("/")
    assert world.broker.commons.bindings == 0
    world.store.close()
