"""The HTTP API over policies, limits and definitions: RabbitMQ's paths, status codes and reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leveret.broker.settings import OPERATOR_POLICY, POLICY
from leveret.broker.users import ADMINISTRATOR
from leveret.broker.vhost import VirtualHost
from leveret.management import definitions, rows
from leveret.management.endpoints import (
    Call,
    Refused,
    existing,
    for_administrators,
    may_use,
    no_vhost,
    not_authorised,
    on,
    usable,
    visible,
    wanted,
)

# ---- policies


def _policies(kind: str, path: str) -> None:
    """The same functions for policies and operator policies; who may write differs."""

    @on("GET", path)
    def list_all(call: Call) -> Any:
        return [row for vhost in usable(call) for row in rows.policy_rows(vhost, kind)]

    @on("GET", f"{path}/*")
    def list_of_vhost(call: Call) -> Any:
        return rows.policy_rows(visible(call), kind)

    @on("GET", f"{path}/*/*")
    def show(call: Call) -> Any:
        vhost = visible(call)
        return vhost.policies.of(kind)[call.names[1]].view(vhost.name)

    @on("PUT", f"{path}/*/*")
    def put(call: Call) -> bool:
        vhost = _writable(call, kind)
        wanted(call.body, "pattern", "definition")
        return vhost.put_policy(kind, call.names[1], call.body)

    @on("DELETE", f"{path}/*/*")
    def delete(call: Call) -> None:
        if call.names[0] not in call.broker.vhosts:
            raise KeyError(call.names[0])
        _writable(call, kind).delete_policy(kind, call.names[1])


def _writable(call: Call, kind: str) -> VirtualHost:
    administrator = ADMINISTRATOR in call.user.tags
    if kind == OPERATOR_POLICY and not administrator:
        raise not_authorised("Not administrator user")
    vhost = call.broker.vhosts.get(call.names[0])
    allowed = administrator or ("policymaker" in call.user.tags and vhost is not None and may_use(call.user, vhost))
    if not allowed:
        raise not_authorised("User not authorised to access object")
    if vhost is None:
        raise no_vhost()
    return vhost


_policies(POLICY, "policies")
_policies(OPERATOR_POLICY, "operator-policies")


# ---- limits


def _limits_view(vhost: VirtualHost) -> rows.Rows:
    return [{"vhost": vhost.name, "value": dict(vhost.limits)}] if vhost.limits else []


@on("GET", "vhost-limits")
def list_vhost_limits(call: Call) -> Any:
    return [row for vhost in usable(call) for row in _limits_view(vhost)]


@on("GET", "vhost-limits/*")
def show_vhost_limits(call: Call) -> Any:
    return _limits_view(visible(call, "monitoring"))


@on("PUT", "vhost-limits/*/*")
@for_administrators
def put_vhost_limit(call: Call) -> None:
    vhost = existing(call)
    (value,) = wanted(call.body, "value")
    vhost.set_limit(call.names[1], value)


@on("DELETE", "vhost-limits/*/*")
@for_administrators
def delete_vhost_limit(call: Call) -> None:
    call.broker.vhosts[call.names[0]].clear_limit(call.names[1])


@on("GET", "user-limits")
def list_user_limits(call: Call) -> Any:
    return [{"user": user.name, "value": dict(user.limits)} for user in call.broker.users if user.limits]


@on("GET", "user-limits/*")
def show_user_limits(call: Call) -> Any:
    user = call.broker.users[call.names[0]]
    return [{"user": user.name, "value": dict(user.limits)}] if user.limits else []


@on("PUT", "user-limits/*/*")
@for_administrators
def put_user_limit(call: Call) -> None:
    (value,) = wanted(call.body, "value")
    name, limit = call.names
    call.broker.users.set_limit(name, limit, value)


@on("DELETE", "user-limits/*/*")
@for_administrators
def delete_user_limit(call: Call) -> None:
    name, limit = call.names
    call.broker.users.clear_limit(call.broker.users[name].name, limit)


# ---- parameters: what RabbitMQ calls so is operator policies and limits here, and what is for the whole broker


def _parameters(call: Call, component: str | None = None) -> rows.Rows:
    found = [row for vhost in usable(call) for row in rows.parameter_rows(vhost)]
    return [row for row in found if component in (None, row["component"])]


def for_policymakers(call: Call) -> None:
    if not {ADMINISTRATOR, "policymaker"}.intersection(call.user.tags):
        raise not_authorised("Not policymaker user")


@on("GET", "parameters")
def list_parameters(call: Call) -> Any:
    for_policymakers(call)
    return _parameters(call)


@on("GET", "parameters/*")
def list_of_component(call: Call) -> Any:
    for_policymakers(call)
    return _parameters(call, call.names[0])


@on("GET", "parameters/*/*")
def list_of_component_in_vhost(call: Call) -> Any:
    for_policymakers(call)
    component, vhost = call.names
    call.broker.vhosts[vhost]
    return [row for row in _parameters(call, component) if row["vhost"] == vhost]


@on("GET", "parameters/*/*/*")
def show_parameter(call: Call) -> Any:
    for_policymakers(call)
    for row in _parameters(call, call.names[0]):
        if (row["vhost"], row["name"]) == call.names[1:]:
            return row
    raise KeyError(call.names[2])


@on("PUT", "parameters/*/*/*")
@for_administrators
def put_parameter(call: Call) -> bool:
    component, vhost, name = call.names
    (value,) = wanted(call.body, "value")
    new = not any(row["name"] == name for row in _parameters(call, component) if row["vhost"] == vhost)
    definitions.import_parameter(
        call.broker, {"component": component, "vhost": existing(call, 1).name, "name": name, "value": value}
    )
    return new


@on("GET", "global-parameters")
def list_global_parameters(call: Call) -> Any:
    for_policymakers(call)
    return definitions.global_parameters(call.broker)


@on("GET", "global-parameters/*")
def show_global_parameter(call: Call) -> Any:
    for_policymakers(call)
    name = call.names[0]
    return {"name": name, "value": call.broker.tenants.global_parameters[name]}


@on("PUT", "global-parameters/*")
def put_global_parameter(call: Call) -> bool:
    for_policymakers(call)
    (value,) = wanted(call.body, "value")
    new = call.names[0] not in call.broker.tenants.global_parameters
    call.broker.tenants.put_global_parameter(call.names[0], value)
    return new


@on("DELETE", "global-parameters/*")
def delete_global_parameter(call: Call) -> None:
    for_policymakers(call)
    call.broker.tenants.delete_global_parameter(call.names[0])


# ---- definitions


@on("GET", "definitions")
@for_administrators
def show_definitions(call: Call) -> Any:
    return definitions.export(call.broker)


@on("POST", "definitions")
@for_administrators
def import_definitions(call: Call) -> Iterator[None]:
    return definitions.import_(call.broker, call.body)


@on("GET", "definitions/*")
@for_administrators
def show_vhost_definitions(call: Call) -> Any:
    vhost = call.broker.vhosts.get(call.names[0])
    if vhost is None:
        raise Refused(400, "bad_request", "vhost_not_found")
    return definitions.export_vhost(vhost)


@on("POST", "definitions/*")
@for_administrators
def import_vhost_definitions(call: Call) -> Iterator[None]:
    return definitions.import_(call.broker, call.body, existing(call).name)
