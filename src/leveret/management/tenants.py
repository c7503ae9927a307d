"""The HTTP API over users, virtual hosts and permissions: RabbitMQ's paths, status codes and reasons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.broker.vhost import VirtualHost
from leveret.management import definitions, rows
from leveret.management.endpoints import Call, for_administrators, on, texts, wanted

# ---- who is asking


@on("GET", "whoami")
def whoami(call: Call) -> Any:
    return {"name": call.user.name, "tags": list(call.user.tags)}


# ---- users


@on("GET", "users")
@for_administrators
def list_users(call: Call) -> Any:
    return [user.view() for user in call.broker.users]


@on("GET", "users/without-permissions")
@for_administrators
def list_powerless(call: Call) -> Any:
    granted = {name for vhost in call.broker.vhosts.values() for name in vhost.permissions.grants}
    return [user.view() for user in call.broker.users if user.name not in granted]


@on("POST", "users/bulk-delete")
@for_administrators
def delete_users(call: Call) -> None:
    (names,) = wanted(call.body, "users")
    for name in names:
        if name in call.broker.users:
            call.broker.tenants.delete_user(name)


@on("GET", "users/*")
@for_administrators
def show_user(call: Call) -> Any:
    return call.broker.users[call.names[0]].view()


@on("PUT", "users/*")
@for_administrators
def put_user(call: Call) -> bool:
    wanted(call.body)
    return definitions.import_user(call.broker, definitions.checked({**call.body, "name": call.names[0]}))


@on("DELETE", "users/*")
@for_administrators
def delete_user(call: Call) -> None:
    call.broker.tenants.delete_user(call.names[0])


def _of_user(call: Call, list_rows: Callable[[VirtualHost], rows.Rows]) -> Any:
    name = call.broker.users[call.names[0]].name
    return [row for vhost in call.broker.vhosts.values() for row in list_rows(vhost) if row["user"] == name]


@on("GET", "users/*/permissions")
@for_administrators
def user_permissions(call: Call) -> Any:
    return _of_user(call, rows.permission_rows)


@on("GET", "users/*/topic-permissions")
@for_administrators
def user_topic_permissions(call: Call) -> Any:
    return _of_user(call, rows.topic_permission_rows)


# ---- virtual hosts


@on("PUT", "vhosts/*")
@for_administrators
def put_vhost(call: Call) -> bool:
    wanted(call.body)
    return call.broker.tenants.put_vhost(
        call.names[0], definitions.vhost_metadata(definitions.checked(call.body)), call.user.name
    )


@on("DELETE", "vhosts/*")
@for_administrators
def delete_vhost(call: Call) -> None:
    call.broker.tenants.delete_vhost(call.names[0])


@on("GET", "vhosts/*/permissions")
@for_administrators
def vhost_permissions(call: Call) -> Any:
    return rows.permission_rows(call.broker.vhosts[call.names[0]])


@on("GET", "vhosts/*/topic-permissions")
@for_administrators
def vhost_topic_permissions(call: Call) -> Any:
    return rows.topic_permission_rows(call.broker.vhosts[call.names[0]])


# ---- permissions


@on("GET", "permissions")
@for_administrators
def list_permissions(call: Call) -> Any:
    return [row for vhost in call.broker.vhosts.values() for row in rows.permission_rows(vhost)]


@on("GET", "permissions/*/*")
@for_administrators
def show_permission(call: Call) -> Any:
    vhost, user = call.names
    grant = call.broker.vhosts[vhost].permissions.grants[user]
    return {"user": user, "vhost": vhost, **grant.texts}


@on("PUT", "permissions/*/*")
@for_administrators
def put_permission(call: Call) -> bool:
    configure, write, read = texts(call.body, "configure", "write", "read")
    vhost, user = call.names
    return call.broker.tenants.known(vhost, user).permissions.grant(user, configure, write, read)


@on("DELETE", "permissions/*/*")
@for_administrators
def delete_permission(call: Call) -> None:
    vhost, user = call.names
    call.broker.vhosts[vhost].permissions.revoke(user)


@on("GET", "topic-permissions")
@for_administrators
def list_topic_permissions(call: Call) -> Any:
    return [row for vhost in call.broker.vhosts.values() for row in rows.topic_permission_rows(vhost)]


@on("GET", "topic-permissions/*/*")
@for_administrators
def show_topic_permissions(call: Call) -> Any:
    vhost, user = call.names
    grants = call.broker.vhosts[vhost].permissions.topics[user]
    return [{"user": user, "vhost": vhost, "exchange": exchange, **grant.texts} for exchange, grant in grants.items()]


@on("PUT", "topic-permissions/*/*")
@for_administrators
def put_topic_permission(call: Call) -> bool:
    exchange, write, read = texts(call.body, "exchange", "write", "read")
    vhost, user = call.names
    return call.broker.tenants.known(vhost, user).permissions.grant_topic(user, exchange, write, read)


@on("DELETE", "topic-permissions/*/*")
@for_administrators
def delete_topic_permissions(call: Call) -> None:
    vhost, user = call.names
    call.broker.vhosts[vhost].permissions.revoke_topics(user)


@on("DELETE", "topic-permissions/*/*/*")
@for_administrators
def delete_topic_permission(call: Call) -> None:
    vhost, user, exchange = call.names
    call.broker.vhosts[vhost].permissions.revoke_topics(user, exchange)
