"""Virtual hosts and limits: rabbitmq.com/docs/vhosts (limits, deletion) and docs/user-limits."""

from __future__ import annotations

from collections.abc import Callable

import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingConnection

from conformance.administration import Admin, login_refused
from conformance.support import channel_refused, connection_refused, drain, publish, queue_exists, until

Login = Callable[[str, str], BlockingConnection]


def test_the_same_names_in_two_virtual_hosts_are_two_things(admin: Admin, login: Login) -> None:
    one, other = admin.vhost(), admin.vhost()
    for vhost in (one, other):
        login("guest", vhost).channel().queue_declare("q")
    publish(login("guest", one).channel(), "q", b"x")
    assert drain(login("guest", other).channel(), "q") == []
    assert drain(login("guest", one).channel(), "q") == [b"x"]


def test_deleting_a_virtual_host_closes_its_connections(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    connection = login("guest", vhost)
    connection.channel().queue_declare("q", durable=True)
    admin.delete("vhosts", vhost)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        until(lambda: False, connection)
    # RabbitMQ takes the virtual host down and then deletes it: its connections hear of what comes to them first.
    text = f"CONNECTION_FORCED - vhost '{vhost}' is"
    assert caught.value.reply_code == 320 and caught.value.reply_text in (f"{text} deleted", f"{text} down")
    with login_refused(f"NOT_ALLOWED - vhost {vhost} not found"):
        login("guest", vhost)


def test_a_virtual_host_made_again_is_empty(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    channel = login("guest", vhost).channel()
    channel.queue_declare("q", durable=True)
    channel.exchange_declare("e", durable=True)
    admin.put("policies", vhost, "p", pattern=".*", definition={"max-length": 1})
    admin.put("vhost-limits", vhost, "max-queues", value=1)
    admin.delete("vhosts", vhost)
    admin.put("vhosts", vhost)
    assert admin.get("policies", vhost) == [] and admin.get("vhost-limits", vhost) == []
    assert not queue_exists(login("guest", vhost), "q")


def test_what_describes_a_virtual_host_is_shown(admin: Admin) -> None:
    vhost = admin.vhost(description="of the tests", tags="one,two")
    shown = admin.get("vhosts", vhost)
    assert (shown["name"], shown["description"], shown["tags"]) == (vhost, "of the tests", ["one", "two"])
    admin.put("vhosts", vhost, description="changed")
    assert admin.get("vhosts", vhost)["description"] == "changed"
    assert vhost in [row["name"] for row in admin.get("vhosts")]


@pytest.mark.not_on_rabbitmq("3.10 keeps the default queue type but does not use it; 3.11 and later do")
def test_the_default_queue_type_is_given_to_queues_that_name_none(admin: Admin, login: Login) -> None:
    vhost = admin.vhost(default_queue_type="quorum")
    channel = login("guest", vhost).channel()
    channel.queue_declare("q", durable=True)
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare("t", exclusive=True)


# ---- limits


def test_connections_of_a_virtual_host_are_limited(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    admin.put("vhost-limits", vhost, "max-connections", value=1)
    assert admin.get("vhost-limits", vhost) == [{"vhost": vhost, "value": {"max-connections": 1}}]
    first = login("guest", vhost)
    text = f"NOT_ALLOWED - access to vhost '{vhost}' refused for user 'guest': connection limit (1) is reached"
    with login_refused(text):
        login("guest", vhost)
    admin.put("vhost-limits", vhost, "max-connections", value=-1)
    login("guest", vhost)
    first.close()


def test_queues_of_a_virtual_host_are_limited(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    connection = login("guest", vhost)
    admin.put("vhost-limits", vhost, "max-queues", value=1)
    channel = connection.channel()
    channel.queue_declare("a")
    channel.queue_declare("a")
    text = f"PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '{vhost}' (1) is reached"
    with channel_refused(406, text):
        channel.queue_declare("b")
    admin.delete("vhost-limits", vhost, "max-queues")
    connection.channel().queue_declare("b")


def test_connections_of_a_user_are_limited(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    admin.put("user-limits", user, "max-connections", value=1)
    login(user, vhost)
    text = f"NOT_ALLOWED - connection refused for user '{user}': user connection limit (1) is reached"
    with login_refused(text):
        login(user, vhost)
    login("guest", vhost)


def test_channels_of_a_user_are_limited(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    admin.put("user-limits", user, "max-channels", value=1)
    connection = login(user, vhost)
    connection.channel()
    text = f"number of channels opened for user '{user}' has reached the maximum allowed user limit of (1)"
    with connection_refused(530, f"NOT_ALLOWED - {text}"):
        connection.channel()
