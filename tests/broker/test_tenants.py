"""Virtual hosts, their limits, and what ends with them and with users, on virtual time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from broker.support import Client, World
from leveret.errors import ChannelError, ConnectionError, InvalidSetting


def connected(world: World, user: str = "guest", vhost: str = "/") -> Client:
    client = world.client()
    client.user = user
    world.broker.tenants.connect(client, vhost)
    return client


def test_a_virtual_host_survives_a_restart_with_all_that_describes_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.broker.tenants.put_vhost("v", {"description": "d", "tags": ["t"]}, "guest")
    world.broker.vhosts["v"].set_limit("max-queues", 3)
    world.broker.vhosts["v"].put_policy("policy", "p", {"pattern": "^q", "definition": {"max-length": 2}})
    world.broker.tenants.put_vhost("w", {})
    world.broker.tenants.delete_vhost("w")
    world.settle()
    world.store.close()
    again = World(tmp_path)
    assert list(again.broker.vhosts) == ["/", "v"]
    vhost = again.broker.vhosts["v"]
    assert (vhost.metadata["description"], vhost.metadata["tags"], vhost.limits) == ("d", ["t"], {"max-queues": 3})
    assert list(vhost.permissions.grants) == ["guest"]
    assert [policy.definition for policy in vhost.policies.of("policy").values()] == [{"max-length": 2}]
    again.store.close()


def test_a_store_from_before_there_were_users_opens_with_guest(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.queue("q")
    world.settle()
    world.store.close()
    with sqlite3.connect(tmp_path / "leveret.db") as database:
        database.execute("delete from setting")
    again = World(tmp_path)
    assert again.broker.users.authenticate("guest", "guest", True) is not None
    assert list(again.broker.vhosts["/"].queues) == ["q"]
    connected(again)
    again.store.close()


def test_deleting_a_virtual_host_ends_its_connections_and_all_that_is_in_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.broker.tenants.put_vhost("v", {}, "guest")
    client = connected(world, vhost="v")
    vhost = world.broker.vhosts["v"]
    queue = vhost.declare_queue("q", True, False, False, {}, client)
    vhost.declare_exchange("e", "direct", True, False, False, {})
    vhost.bind("e", queue, "k", {})
    vhost.set_limit("max-connections", 5)
    world.broker.tenants.delete_vhost("v")
    assert client.forced == ["vhost 'v' is deleted"] and queue.deleted
    world.broker.tenants.put_vhost("v", {})
    fresh = world.broker.vhosts["v"]
    assert not fresh.queues and "e" not in fresh.exchanges and not fresh.permissions.grants and not fresh.limits
    world.settle()
    world.store.close()
    again = World(tmp_path)
    assert not again.broker.vhosts["v"].queues and "e" not in again.broker.vhosts["v"].exchanges
    assert not again.broker.vhosts["v"].limits
    again.store.close()


def test_deleting_a_user_ends_their_connections_and_permissions(world: World) -> None:
    world.broker.users.put("u", (), "secret")
    world.broker.vhosts["/"].permissions.grant("u", ".*", ".*", ".*")
    client, other = connected(world, "u"), connected(world)
    world.broker.tenants.delete_user("u")
    assert (client.forced, other.forced) == (["user 'u' is deleted"], [])
    assert "u" not in world.broker.vhosts["/"].permissions.grants
    with pytest.raises(KeyError):
        world.broker.tenants.delete_user("u")


@pytest.mark.parametrize(
    ("vhost", "text"),
    [
        ("v", "530 NOT_ALLOWED - access to vhost 'v' refused for user 'guest'"),
        ("none", "530 NOT_ALLOWED - vhost none not found"),
    ],
)
def test_a_connection_needs_a_permission_on_its_virtual_host(world: World, vhost: str, text: str) -> None:
    world.broker.tenants.put_vhost("v", {})
    with pytest.raises(ConnectionError) as caught:
        connected(world, vhost=vhost)
    assert str(caught.value) == text


def test_connections_of_a_virtual_host_are_limited_until_one_ends(world: World) -> None:
    vhost = world.broker.vhosts["/"]
    vhost.set_limit("max-connections", 1)
    first = connected(world)
    with pytest.raises(ConnectionError, match=r"refused for user 'guest': connection limit \(1\) is reached"):
        connected(world)
    world.broker.disconnect(first)
    connected(world)
    vhost.set_limit("max-connections", -1)
    connected(world)


def test_connections_and_channels_of_a_user_are_limited(world: World) -> None:
    world.broker.users.set_limit("guest", "max-connections", 1)
    world.broker.users.set_limit("guest", "max-channels", 1)
    client = connected(world)
    with pytest.raises(ConnectionError, match=r"user connection limit \(1\) is reached"):
        connected(world)
    world.broker.tenants.check_channel(client)
    client.channel()
    with pytest.raises(ConnectionError, match=r"maximum allowed user limit of \(1\)"):
        world.broker.tenants.check_channel(client)
    world.broker.users.clear_limit("guest", "max-channels")
    world.broker.tenants.check_channel(client)


def test_queues_are_limited_but_those_that_are_there_may_be_declared(world: World) -> None:
    world.broker.vhosts["/"].set_limit("max-queues", 1)
    world.queue("a")
    world.queue("a")
    with pytest.raises(ChannelError) as caught:
        world.queue("b")
    text = "cannot declare queue 'b': queue limit in vhost '/' (1) is reached"
    assert str(caught.value) == f"406 PRECONDITION_FAILED - {text}"


def test_an_unknown_limit_or_value_is_refused(world: World) -> None:
    vhost = world.broker.vhosts["/"]
    with pytest.raises(InvalidSetting) as caught:
        vhost.set_limit("max-bad", 1)
    assert caught.value.reason == 'Validation failed\n\nUnrecognised terms [{<<"max-bad">>,1}] in limits\n'
    with pytest.raises(InvalidSetting, match="max-queues should be a number, actually was"):
        vhost.set_limit("max-queues", "x")
    with pytest.raises(InvalidSetting) as caught:
        world.broker.users.set_limit("nobody", "max-channels", 1)
    assert caught.value.reason == ["no_such_user", "nobody"]


def test_the_default_queue_type_is_for_queues_that_could_be_of_it(world: World) -> None:
    vhost = world.broker.vhosts["/"]
    vhost.describe({"default_queue_type": "quorum"})
    assert world.queue("a").arguments == {"x-queue-type": "quorum"}
    assert vhost.declare_queue("b", False, False, False, {}, world.client()).arguments == {}
    assert vhost.declare_queue("c", True, True, False, {}, world.client()).arguments == {}
    assert world.queue("d", x_queue_type="classic").arguments == {"x-queue-type": "classic"}
    world.queue("a")


def test_time_reaches_every_virtual_host_at_once(world: World) -> None:
    for number in range(1_000):
        world.broker.tenants.put_vhost(f"v{number}", {})
    world.broker.at(2_000_000)
    assert {vhost.now for vhost in world.broker.vhosts.values()} == {2_000_000}
