"""Permissions: rabbitmq.com/docs/access-control, "How Authorisation Works" and "Topic Authorisation"."""

from __future__ import annotations

from collections.abc import Callable

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from conformance.administration import EVERYTHING, Admin, login_refused
from conformance.support import channel_refused, connection_refused, publish, ready, until

Login = Callable[[str, str], BlockingConnection]
Step = Callable[[BlockingChannel], object]

CHECKS: list[tuple[str, str, Step]] = [
    ("configure", "queue 'n'", lambda channel: channel.queue_declare("n")),
    ("configure", "exchange 'n'", lambda channel: channel.exchange_declare("n")),
    ("configure", "exchange 'amq.n'", lambda channel: channel.exchange_declare("amq.n")),
    ("configure", "exchange 'amq.direct'", lambda channel: channel.exchange_declare("amq.direct")),
    ("configure", "queue 'n'", lambda channel: channel.queue_delete("n")),
    ("configure", "exchange 'n'", lambda channel: channel.exchange_delete("n")),
    ("read", "queue 'c1'", lambda channel: channel.queue_declare("c1", arguments={"x-dead-letter-exchange": "w"})),
    ("write", "exchange 'n'", lambda channel: channel.queue_declare("cr", arguments={"x-dead-letter-exchange": "n"})),
    ("read", "exchange 'c1'", lambda channel: channel.exchange_declare("c1", arguments={"alternate-exchange": "w"})),
    ("write", "exchange 'n'", lambda channel: channel.exchange_declare("cr", arguments={"alternate-exchange": "n"})),
    ("write", "queue 'n'", lambda channel: channel.queue_bind("n", "r", "k")),
    ("read", "exchange 'n'", lambda channel: channel.queue_bind("w", "n", "k")),
    ("write", "queue 'n'", lambda channel: channel.queue_unbind("n", "r", "k")),
    ("read", "exchange 'n'", lambda channel: channel.queue_unbind("w", "n", "k")),
    ("write", "exchange 'n'", lambda channel: channel.exchange_bind("n", "r", "k")),
    ("read", "exchange 'n'", lambda channel: channel.exchange_bind("w", "n", "k")),
    ("write", "exchange 'amq.default'", lambda channel: channel.exchange_bind("", "r", "k")),
    ("read", "queue 'n'", lambda channel: channel.basic_get("n")),
    ("read", "queue 'n'", lambda channel: channel.basic_consume("n", print)),
    ("read", "queue 'n'", lambda channel: channel.queue_purge("n")),
    ("write", "exchange 'n'", lambda channel: confirmed(channel, "n", "k")),
    ("write", "exchange 'amq.default'", lambda channel: confirmed(channel, "", "w")),
]


def confirmed(
    channel: BlockingChannel, exchange: str, key: str, properties: pika.BasicProperties | None = None
) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"x", properties)


@pytest.fixture
def narrow(admin: Admin, login: Login) -> tuple[str, str, BlockingConnection]:
    """Virtual host, user and connection of one who may configure what begins with c, write w and read r (and cr)."""
    vhost = admin.vhost()
    user = admin.user(vhost, ("^c", "^w", "r$"))
    return vhost, user, login(user, vhost)


@pytest.mark.parametrize(("permission", "what", "step"), CHECKS)
def test_each_method_needs_its_permission(
    admin: Admin, narrow: tuple[str, str, BlockingConnection], permission: str, what: str, step: Step
) -> None:
    vhost, user, connection = narrow
    with channel_refused(403, admin.refused(permission, what, vhost, user)):
        step(connection.channel())


def test_what_is_permitted_works(admin: Admin, narrow: tuple[str, str, BlockingConnection], login: Login) -> None:
    vhost, _, connection = narrow
    others = login("guest", vhost).channel()
    others.queue_declare("w")
    others.queue_declare("r")
    others.exchange_declare("w", "fanout")
    others.exchange_declare("r", "fanout")
    channel = connection.channel()
    channel.queue_declare("c")
    channel.exchange_declare("c")
    channel.queue_bind("w", "r", "k")
    channel.exchange_bind("w", "r", "k")
    confirmed(channel, "w", "k")
    channel.basic_get("r")
    channel.queue_purge("r")
    channel.queue_delete("c")
    channel.exchange_delete("c")


def test_passive_declarations_need_no_permission(
    admin: Admin, narrow: tuple[str, str, BlockingConnection], login: Login
) -> None:
    vhost, _, connection = narrow
    others = login("guest", vhost).channel()
    others.queue_declare("n")
    others.exchange_declare("n")
    channel = connection.channel()
    channel.queue_declare("n", passive=True)
    channel.exchange_declare("n", passive=True)


def test_a_server_named_queue_needs_configure_on_its_name(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost, (r"^amq\.gen", "", ""))
    connection = login(user, vhost)
    assert connection.channel().queue_declare("", exclusive=True).method.queue.startswith("amq.gen")
    admin.permit(vhost, user, "^x", "", "")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        login(user, vhost).channel().queue_declare("", exclusive=True)
    assert caught.value.reply_code == 403 and "access to queue 'amq.gen-" in caught.value.reply_text


def test_an_empty_pattern_permits_nothing(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost, ("", "", ""))
    with channel_refused(403, admin.refused("configure", "queue 'q'", vhost, user)):
        login(user, vhost).channel().queue_declare("q")


def test_a_virtual_host_without_permission_is_closed(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user()
    with login_refused(f"NOT_ALLOWED - access to vhost '{vhost}' refused for user '{user}'"):
        login(user, vhost)


def test_a_virtual_host_that_is_none_is_not_found(admin: Admin, login: Login) -> None:
    with login_refused("NOT_ALLOWED - vhost none-of-these not found"):
        login("guest", "none-of-these")


@pytest.mark.not_on_rabbitmq("a channel remembers for a while what it was permitted, new channels do not")
def test_a_permission_taken_away_is_felt_at_once(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    channel = login(user, vhost).channel()
    channel.queue_declare("q")
    confirmed(channel, "", "q")
    admin.permit(vhost, user, ".*", "^none$", ".*")
    with channel_refused(403, admin.refused("write", "exchange 'amq.default'", vhost, user)):
        channel.basic_publish("", "q", b"x")


def test_a_consumer_keeps_its_messages_when_read_is_taken_away(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    connection = login(user, vhost)
    channel = connection.channel()
    channel.queue_declare("q")
    got: list[bytes] = []
    channel.basic_consume("q", lambda *delivery: got.append(delivery[3]), auto_ack=True)
    admin.permit(vhost, user, ".*", ".*", "")
    publish(login("guest", vhost).channel(), "q", b"x")
    until(lambda: got == [b"x"], connection)


# ---- topics


def test_a_topic_permission_is_asked_on_publishing_and_binding(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    admin.put("topic-permissions", vhost, user, exchange="amq.topic", write="^w", read="^r")
    connection = login(user, vhost)
    channel = connection.channel()
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.topic", "r.#")
    confirmed(channel, "amq.topic", "w.x")
    with channel_refused(403, admin.refused("read", "topic 'x.#' in exchange 'amq.topic'", vhost, user)):
        channel.queue_bind("q", "amq.topic", "x.#")
    with channel_refused(403, admin.refused("read", "topic 'x.#' in exchange 'amq.topic'", vhost, user)):
        connection.channel().queue_unbind("q", "amq.topic", "x.#")
    with channel_refused(403, admin.refused("write", "topic 'x' in exchange 'amq.topic'", vhost, user)):
        confirmed(connection.channel(), "amq.topic", "x")


def test_topic_permissions_hold_for_their_exchange_only(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    admin.put("topic-permissions", vhost, user, exchange="amq.topic", write="^w", read="^r")
    admin.put("topic-permissions", vhost, user, exchange="amq.direct", write="^w", read="^r")
    channel = login(user, vhost).channel()
    channel.exchange_declare("other", "topic")
    confirmed(channel, "other", "x")
    confirmed(channel, "amq.direct", "x")


def test_user_and_virtual_host_are_filled_into_topic_patterns(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    admin.put("topic-permissions", vhost, user, exchange="amq.topic", write="^{username}-{vhost}$", read="")
    connection = login(user, vhost)
    confirmed(connection.channel(), "amq.topic", f"{user}-{vhost}")
    with channel_refused(403, admin.refused("write", f"topic '{user}' in exchange 'amq.topic'", vhost, user)):
        confirmed(connection.channel(), "amq.topic", user)


# ---- users


def test_a_user_that_is_deleted_loses_the_connection(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    connection = login(user, vhost)
    admin.delete("users", user)
    with connection_refused(320, f"CONNECTION_FORCED - user '{user}' is deleted"):
        until(lambda: False, connection)


def test_a_new_password_is_for_new_connections(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    connection = login(user, vhost)
    admin.put("users", user, password="new", tags="")
    assert ready(connection.channel(), declared(connection)) == 0
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        admin.connect(user, vhost, "secret")
    admin.connect(user, vhost, "new").close()


def declared(connection: BlockingConnection) -> str:
    queue: str = connection.channel().queue_declare("", exclusive=True).method.queue
    return queue


def test_a_user_without_password_cannot_log_in(admin: Admin) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    admin.call("PUT", "users", user, body={"password_hash": "", "tags": ""})
    for password in ("", "secret"):
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            admin.connect(user, vhost, password)


def test_a_hash_of_rabbitmq_logs_in(admin: Admin) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost)
    made = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"  # of "test12", from RabbitMQ's documentation
    admin.call("PUT", "users", user, body={"password_hash": made, "tags": ""})
    admin.connect(user, vhost, "test12").close()


def test_everything_may_be_permitted(admin: Admin) -> None:
    vhost = admin.vhost()
    user = admin.user(vhost, EVERYTHING)
    wanted = {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
    assert admin.get("permissions", vhost, user) == wanted
    assert wanted in admin.get("permissions")
    assert admin.get("users", user, "permissions") == [wanted]


def test_an_impersonator_may_publish_under_another_name(admin: Admin, login: Login) -> None:
    vhost = admin.vhost()
    someone, impersonator = admin.user(vhost), admin.user(vhost, tags="impersonator")
    named = pika.BasicProperties(user_id="guest")
    channel = login(impersonator, vhost).channel()
    channel.queue_declare("q")
    confirmed(channel, "", "q", named)
    text = f"user_id property set to 'guest' but authenticated user was '{someone}'"
    with channel_refused(406, f"PRECONDITION_FAILED - {text}"):
        confirmed(login(someone, vhost).channel(), "", "q", named)
