"""Users, passwords and permissions, as RabbitMQ's access-control page has them, on virtual time."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from broker.support import Client, World
from leveret.broker.passwords import SHA256, hashed, verify
from leveret.errors import ChannelError, InvalidSetting

EVERYTHING = (".*", ".*", ".*")


def limited(world: World, configure: str, write: str, read: str) -> Client:
    """A client of user u with these permissions on the virtual host /."""
    world.broker.users.put("u", (), "secret")
    world.broker.vhosts["/"].permissions.grant("u", configure, write, read)
    client = world.client()
    client.user = "u"
    return client


def refused(permission: str, what: str) -> str:
    return f"403 ACCESS_REFUSED - {permission} access to {what} in vhost '/' refused for user 'u'"


# ---- passwords


def test_a_hash_made_by_rabbitmq_is_understood() -> None:
    # From RabbitMQ's documentation of password hashing: "test12", salt 90 8D C6 0A.
    assert verify("test12", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", SHA256)


def test_every_hash_has_a_salt_of_its_own() -> None:
    assert hashed("x") != hashed("x")
    assert verify("x", hashed("x"), SHA256) and not verify("y", hashed("x"), SHA256)


@pytest.mark.parametrize("digest", ["sha512", "md5"])
def test_other_digests_are_verified_too(digest: str) -> None:
    kept = base64.b64encode(b"salt" + hashlib.new(digest, b"salt" + b"word").digest()).decode()
    assert verify("word", kept, f"rabbit_password_hashing_{digest}")
    assert not verify("words", kept, f"rabbit_password_hashing_{digest}")


@pytest.mark.parametrize("password", ["", "secret", "x"])
def test_a_user_without_password_cannot_log_in(world: World, password: str) -> None:
    world.broker.users.put("u", (), "")
    assert world.broker.users.authenticate("u", password, True) is None


def test_nobody_logs_in_with_the_empty_password_also_not_by_its_hash(world: World) -> None:
    world.broker.users.put("u", (), password_hash=hashed(""))
    assert world.broker.users.authenticate("u", "", True) is None


def test_guest_logs_in_from_this_machine_only(world: World) -> None:
    users = world.broker.users
    assert users.authenticate("guest", "guest", True) is users["guest"]
    assert users.authenticate("guest", "guest", False) is None
    assert users.authenticate("guest", "wrong", True) is None
    assert users.authenticate("nobody", "guest", True) is None


def test_a_hash_that_is_not_base64_is_refused(world: World) -> None:
    with pytest.raises(InvalidSetting) as caught:
        world.broker.users.put("u", (), password_hash="abc")
    assert caught.value.reason == ["not_base64", "abc"]
    assert "u" not in world.broker.users


def test_users_and_permissions_survive_a_restart_and_guest_does_not_come_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.broker.users.put("u", ("policymaker",), "secret", limits={"max-channels": 3})
    world.broker.vhosts["/"].permissions.grant("u", "^a", "", ".*")
    world.broker.vhosts["/"].permissions.grant_topic("u", "amq.topic", "^w", "^r")
    world.broker.tenants.delete_user("guest")
    world.settle()
    world.store.close()
    again = World(tmp_path)
    user = again.broker.users.authenticate("u", "secret", False)
    assert user is not None and (user.tags, user.limits) == (("policymaker",), {"max-channels": 3})
    assert "guest" not in again.broker.users
    permissions = again.broker.vhosts["/"].permissions
    assert permissions.grants["u"].texts == {"configure": "^a", "write": "", "read": ".*"}
    assert permissions.topics["u"]["amq.topic"].texts == {"write": "^w", "read": "^r"}
    assert list(permissions.grants) == ["u"]
    again.store.close()


# ---- permissions


def test_declaring_needs_configure(world: World) -> None:
    client = limited(world, "^mine", ".*", ".*")
    vhost = world.broker.vhosts["/"]
    vhost.declare_queue("mine", True, False, False, {}, client)
    with pytest.raises(ChannelError) as caught:
        vhost.declare_queue("other", True, False, False, {}, client)
    assert str(caught.value) == refused("configure", "queue 'other'")
    with pytest.raises(ChannelError) as caught:
        vhost.declare_exchange("other", "direct", True, False, False, {}, client)
    assert str(caught.value) == refused("configure", "exchange 'other'")


def test_a_dead_letter_exchange_needs_read_here_and_write_there(world: World) -> None:
    arguments: dict[str, object] = {"x-dead-letter-exchange": "dlx"}
    client = limited(world, ".*", "^dlx$", "^r")
    vhost = world.broker.vhosts["/"]
    vhost.declare_queue("r", True, False, False, arguments, client)
    with pytest.raises(ChannelError, match="read access to queue 'q'"):
        vhost.declare_queue("q", True, False, False, arguments, client)
    with pytest.raises(ChannelError, match=r"write access to exchange 'amq\.default'"):
        vhost.declare_queue("r2", True, False, False, {"x-dead-letter-exchange": ""}, client)


def test_an_alternate_exchange_needs_read_here_and_write_there(world: World) -> None:
    client = limited(world, ".*", "^x$", "^r")
    vhost = world.broker.vhosts["/"]
    vhost.declare_exchange("r", "direct", True, False, False, {"alternate-exchange": "x"}, client)
    with pytest.raises(ChannelError, match="write access to exchange 'y'"):
        vhost.declare_exchange("r2", "direct", True, False, False, {"alternate-exchange": "y"}, client)


def test_publishing_needs_write_and_the_default_exchange_has_a_name(world: World) -> None:
    client = limited(world, ".*", "^q$", ".*")
    world.queue("q")
    with pytest.raises(ChannelError) as caught:
        world.publish(client.channel(), b"x")
    assert str(caught.value) == refused("write", "exchange 'amq.default'")


def test_a_permission_taken_away_is_felt_by_the_next_message_of_the_same_address(world: World) -> None:
    client = limited(world, *EVERYTHING)
    queue = world.queue("q")
    channel = client.channel()
    address = world.address("q")
    world.publish_to(channel, address, b"1")
    world.publish_to(channel, address, b"2")
    world.broker.vhosts["/"].permissions.grant("u", ".*", "^q$", ".*")
    with pytest.raises(ChannelError):
        world.publish_to(channel, address, b"3")
    assert queue.ready == 2


def test_topic_permissions_hold_for_their_exchange_and_know_user_and_vhost(world: World) -> None:
    client = limited(world, *EVERYTHING)
    vhost = world.broker.vhosts["/"]
    vhost.permissions.grant_topic("u", "amq.topic", "^{username}-{vhost}$", "^r")
    vhost.permissions.require_topic(client, "write", vhost.exchanges["amq.topic"], "u-/")
    with pytest.raises(ChannelError) as caught:
        vhost.permissions.require_topic(client, "write", vhost.exchanges["amq.topic"], "v-/")
    assert str(caught.value) == refused("write", "topic 'v-/' in exchange 'amq.topic'")
    vhost.permissions.require_topic(client, "write", vhost.exchanges["amq.direct"], "v-/")
    vhost.permissions.revoke_topics("u", "amq.topic")
    vhost.permissions.require_topic(client, "write", vhost.exchanges["amq.topic"], "v-/")


def test_binding_needs_write_on_the_destination_and_read_on_the_source(world: World) -> None:
    client = limited(world, ".*", "^w", "^r")
    vhost = world.broker.vhosts["/"]
    vhost.may_bind(client, "r", "queue", "w", "k")
    with pytest.raises(ChannelError, match="write access to queue 'q'"):
        vhost.may_bind(client, "r", "queue", "q", "k")
    with pytest.raises(ChannelError, match="read access to exchange 's'"):
        vhost.may_bind(client, "s", "exchange", "w", "k")


def test_an_empty_pattern_matches_nothing(world: World) -> None:
    client = limited(world, "", "", "")
    with pytest.raises(ChannelError):
        world.broker.vhosts["/"].declare_queue("q", True, False, False, {}, client)


def test_the_answers_are_remembered_within_bounds(world: World) -> None:
    client = limited(world, *EVERYTHING)
    permissions = world.broker.vhosts["/"].permissions
    for number in range(25_000):
        permissions.require(client, "read", "queue", f"q{number}")
    assert len(permissions.grants["u"]._answers) <= 10_000
