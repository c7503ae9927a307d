"""Users' and clients' declarations as rows in RabbitMQ's form: what the API lists and the definitions hold.

Reads the broker, changes nothing. Used by management/definitions, management/tenants and
management/parameters.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from leveret.broker.exchange import Destination, Exchange
from leveret.broker.settings import OPERATOR_POLICY
from leveret.broker.vhost import VirtualHost

Rows = list[dict[str, Any]]

RABBITMQ_VERSION = "3.13.0"
"""The version whose definitions these are."""


def vhost_row(vhost: VirtualHost) -> dict[str, Any]:
    return {"name": vhost.name, **vhost.metadata, "metadata": dict(vhost.metadata)}


def permission_rows(vhost: VirtualHost) -> Rows:
    return [
        {"user": user, "vhost": vhost.name, **grant.texts} for user, grant in sorted(vhost.permissions.grants.items())
    ]


def topic_permission_rows(vhost: VirtualHost) -> Rows:
    return [
        {"user": user, "vhost": vhost.name, "exchange": exchange, **grant.texts}
        for user, grants in sorted(vhost.permissions.topics.items())
        for exchange, grant in sorted(grants.items())
    ]


def policy_rows(vhost: VirtualHost, kind: str) -> Rows:
    return [policy.view(vhost.name) for policy in vhost.policies.of(kind).values()]


def parameter_rows(vhost: VirtualHost) -> Rows:
    """Operator policies and limits are parameters to RabbitMQ."""
    rows: Rows = [
        {"value": policy.value(), "vhost": vhost.name, "component": OPERATOR_POLICY, "name": policy.name}
        for policy in vhost.policies.of(OPERATOR_POLICY).values()
    ]
    if vhost.limits:
        limits = {"value": dict(vhost.limits), "vhost": vhost.name, "component": "vhost-limits", "name": "limits"}
        rows.append(limits)
    return rows


def queue_rows(vhost: VirtualHost) -> Rows:
    """Without those that are exclusive to a connection."""
    return [
        {
            "name": queue.name,
            "durable": queue.durable,
            "auto_delete": queue.auto_delete,
            "arguments": as_json(queue.arguments),
        }
        for queue in vhost.queues.values()
        if queue.owner is None
    ]


def exchange_rows(vhost: VirtualHost) -> Rows:
    """Without those that every virtual host has."""
    return [
        {
            "name": exchange.name,
            "type": exchange.type,
            "durable": exchange.durable,
            "auto_delete": exchange.auto_delete,
            "internal": exchange.internal,
            "arguments": as_json(exchange.arguments),
        }
        for exchange in vhost.exchanges.values()
        if exchange.name and not exchange.name.startswith("amq.")
    ]


def binding_rows(vhost: VirtualHost) -> Rows:
    return [
        {
            "source": exchange.name,
            "destination": binding.destination.name,
            "destination_type": binding.destination.kind,
            "routing_key": binding.key,
            "arguments": as_json(binding.arguments),
        }
        for exchange in vhost.exchanges.values()
        for binding in exchange.bindings.values()
        if not _is_exclusive(binding.destination, vhost)
    ]


def _is_exclusive(destination: Destination, vhost: VirtualHost) -> bool:
    queue = None if isinstance(destination, Exchange) else vhost.queues.get(destination.name)
    return queue is not None and queue.owner is not None


def as_json(value: Any) -> Any:
    """A field table's value as RabbitMQ writes it in JSON, which knows fewer types."""
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime):
        return int(value.timestamp())
    return float(value) if isinstance(value, Decimal) else value
