"""Definitions: everything that administrators and clients declared, as one JSON document in RabbitMQ's form, both ways.

Plain functions over the broker, of the whole or of one virtual host. Messages are not in it. What is there already stays
as it is: an import adds users, virtual hosts, queues, exchanges and bindings, and sets permissions, policies and limits.
Used by management/parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leveret import __version__
from leveret.broker.broker import Broker
from leveret.broker.policy_rows import printed
from leveret.broker.settings import OPERATOR_POLICY, POLICY
from leveret.broker.vhost import VirtualHost
from leveret.errors import AMQPError, InvalidSetting
from leveret.management.rows import (
    RABBITMQ_VERSION,
    Rows,
    binding_rows,
    exchange_rows,
    parameter_rows,
    permission_rows,
    policy_rows,
    queue_rows,
    topic_permission_rows,
    vhost_row,
)

# ---- out


def export(broker: Broker) -> dict[str, Any]:
    """The whole broker."""
    vhosts = list(broker.vhosts.values())
    return {
        "rabbit_version": RABBITMQ_VERSION,
        "rabbitmq_version": RABBITMQ_VERSION,
        "product_name": "Leveret",
        "product_version": __version__,
        "users": [user.view() for user in broker.users],
        "vhosts": [vhost_row(vhost) for vhost in vhosts],
        "permissions": [row for vhost in vhosts for row in permission_rows(vhost)],
        "topic_permissions": [row for vhost in vhosts for row in topic_permission_rows(vhost)],
        "global_parameters": global_parameters(broker),
        **_named([(vhost, {"vhost": vhost.name}) for vhost in vhosts]),
    }


def global_parameters(broker: Broker) -> Rows:
    return [{"name": name, "value": value} for name, value in broker.tenants.global_parameters.items()]


def export_vhost(vhost: VirtualHost) -> dict[str, Any]:
    """One virtual host, to be imported into any."""
    return {"rabbit_version": RABBITMQ_VERSION, **_named([(vhost, {})])}


def _named(vhosts: list[tuple[VirtualHost, dict[str, str]]]) -> dict[str, Rows]:
    return {
        "parameters": [row for vhost, _ in vhosts for row in parameter_rows(vhost)],
        "policies": [row for vhost, _ in vhosts for row in policy_rows(vhost, POLICY)],
        "queues": [{**row, **where} for vhost, where in vhosts for row in queue_rows(vhost)],
        "exchanges": [{**row, **where} for vhost, where in vhosts for row in exchange_rows(vhost)],
        "bindings": [{**row, **where} for vhost, where in vhosts for row in binding_rows(vhost)],
    }


# ---- in


def import_(broker: Broker, document: object, vhost: str | None = None) -> Iterator[None]:
    """Take over a document, a row each time; with `vhost`, all that names a virtual host goes into that one.

    InvalidSetting says what is wrong; what came before it in RabbitMQ's order is done then.
    """
    if not isinstance(document, dict):
        raise InvalidSetting("failed_to_parse_json")
    steps = STEPS if vhost is None else STEPS[-5:]
    for section, step in steps:
        rows = document.get(section, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidSetting(f"{section} should be a list of objects")
        for row in rows:
            checked(row)
            try:
                step(broker, row if vhost is None else {**row, "vhost": vhost})
            except KeyError as missing:
                raise InvalidSetting(f"[{{key_missing,{missing.args[0]}}}]") from None
            except AMQPError as error:
                raise InvalidSetting(error.text) from None
            yield


OPTIONAL = frozenset(("password", "password_hash", "hashing_algorithm"))
NAMES = frozenset(("name", "vhost", "user", "type", "source", "destination", "destination_type", "exchange"))
TEXTS = OPTIONAL | NAMES | {"routing_key", "configure", "write", "read"}
TABLES = ("arguments", "limits", "metadata")


def checked(row: dict[str, Any]) -> dict[str, Any]:
    """The row, if its values are of the types that a step takes for granted."""
    for key, value in row.items():
        if key in TEXTS and not isinstance(value, str) and not (value is None and key in OPTIONAL):
            raise InvalidSetting(f"{key} should be a string, actually was {printed(value)}")
        if key in TABLES and value is not None and not isinstance(value, dict):
            raise InvalidSetting(f"{key} should be an object, actually was {printed(value)}")
    return row


def tags_of(given: object) -> tuple[str, ...]:
    """A list, or one text with commas."""
    if isinstance(given, list):
        return tuple(str(tag) for tag in given)
    return tuple(tag.strip() for tag in str(given).split(",") if tag.strip())


def import_user(broker: Broker, row: dict[str, Any]) -> bool:
    """True if the user is new."""
    if "tags" not in row:
        raise InvalidSetting("tags_not_present")
    algorithm = row.get("hashing_algorithm") or "rabbit_password_hashing_sha256"
    return broker.users.put(
        row["name"],
        tags_of(row["tags"]),
        row.get("password"),
        row.get("password_hash") or "",
        algorithm,
        row.get("limits") or {},
    )


def _vhost(broker: Broker, row: dict[str, Any]) -> VirtualHost:
    name = row.get("vhost", "undefined")
    vhost = broker.vhosts.get(name)
    if vhost is None:
        raise InvalidSetting(["no_such_vhost", name])
    return vhost


def _user(broker: Broker, row: dict[str, Any]) -> str:
    name = str(row["user"])
    if name not in broker.users:
        raise InvalidSetting(["no_such_user", name])
    return name


METADATA = ("description", "tags", "default_queue_type")


def vhost_metadata(row: dict[str, Any]) -> dict[str, Any]:
    given = {**(row.get("metadata") or {}), **row}
    found = {name: given[name] for name in METADATA if given.get(name) is not None}
    if "tags" in found:
        found["tags"] = list(tags_of(found["tags"]))
    if found.get("default_queue_type") in ("", "undefined"):
        del found["default_queue_type"]
    return found


def _import_vhost(broker: Broker, row: dict[str, Any]) -> None:
    broker.tenants.put_vhost(row["name"], vhost_metadata(row))


def _import_permission(broker: Broker, row: dict[str, Any]) -> None:
    permissions = _vhost(broker, row).permissions
    permissions.grant(_user(broker, row), row["configure"], row["write"], row["read"])


def _import_topic_permission(broker: Broker, row: dict[str, Any]) -> None:
    permissions = _vhost(broker, row).permissions
    permissions.grant_topic(_user(broker, row), row["exchange"], row["write"], row["read"])


def import_parameter(broker: Broker, row: dict[str, Any]) -> None:
    vhost, component, name = _vhost(broker, row), row["component"], row["name"]
    if not isinstance(row["value"], dict):
        raise InvalidSetting(f"value should be an object, actually was {printed(row['value'])}")
    if component in (POLICY, OPERATOR_POLICY):
        _put_policy(vhost, component, {**row["value"], "name": name})
    elif component == "vhost-limits":
        for limit, value in row["value"].items():
            vhost.set_limit(limit, value)
    else:
        text = f"Validation failed\n\ncomponent {component} not found\n ({vhost.name}/{component}/{name})"
        raise InvalidSetting(text)


def _put_policy(vhost: VirtualHost, kind: str, row: dict[str, Any]) -> None:
    try:
        vhost.put_policy(kind, row["name"], row)
    except InvalidSetting as error:
        raise InvalidSetting(f"{error.reason} ({vhost.name}/{row['name']})") from None


def _import_policy(broker: Broker, row: dict[str, Any]) -> None:
    _put_policy(_vhost(broker, row), POLICY, row)


def _import_global_parameter(broker: Broker, row: dict[str, Any]) -> None:
    broker.tenants.put_global_parameter(row["name"], row["value"])


def _import_queue(broker: Broker, row: dict[str, Any]) -> None:
    vhost = _vhost(broker, row)
    if row["name"] not in vhost.queues:
        durable, auto_delete = row.get("durable", True), row.get("auto_delete", False)
        vhost.declare_queue(row["name"], durable, False, auto_delete, row.get("arguments") or {}, None)


def _import_exchange(broker: Broker, row: dict[str, Any]) -> None:
    vhost = _vhost(broker, row)
    if row["name"] not in vhost.exchanges:
        durable, auto_delete = row.get("durable", True), row.get("auto_delete", False)
        arguments = row.get("arguments") or {}
        vhost.declare_exchange(row["name"], row["type"], durable, auto_delete, row.get("internal", False), arguments)


def _import_binding(broker: Broker, row: dict[str, Any]) -> None:
    """One that leads from or to nowhere is passed over, as RabbitMQ does."""
    vhost = _vhost(broker, row)
    to_queue = row["destination_type"] == "queue"
    destination = (vhost.queues if to_queue else vhost.exchanges).get(row["destination"])
    if destination is not None and row["source"] in vhost.exchanges:
        vhost.bind(row["source"], destination, row["routing_key"], row.get("arguments") or {})


STEPS: list[tuple[str, Any]] = [
    ("users", import_user),
    ("vhosts", _import_vhost),
    ("permissions", _import_permission),
    ("topic_permissions", _import_topic_permission),
    ("global_parameters", _import_global_parameter),
    ("parameters", import_parameter),
    ("policies", _import_policy),
    ("queues", _import_queue),
    ("exchanges", _import_exchange),
    ("bindings", _import_binding),
]
"""In RabbitMQ's order; the last five are what one virtual host has."""
