"""Definitions in RabbitMQ's JSON, both ways: out of one broker and into a fresh one of the other kind.

rabbitmq.com/docs/definitions; the other tests ask the same of both brokers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pika.exceptions
import pytest

from brokers import KINDS, Broker
from conformance.administration import Admin

SECTIONS = ("users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters")
SECTIONS += ("policies", "queues", "exchanges", "bindings")
GRANTS = {"configure": "^a", "write": "", "read": ".*"}
ARGUMENTS = {
    "x-max-length": 10,
    "x-message-ttl": 60_000,
    "x-dead-letter-exchange": "e",
    "mine": [1, "two", {"x": True}],
}


def fill(admin: Admin) -> None:
    """Something of everything."""
    admin.call("PUT", "vhosts", "tenant/one", body={"description": "the first", "tags": ["a", "b"]})
    admin.put("users", "worker", password="secret", tags="monitoring")
    admin.call("PUT", "users", "nobody", body={"password_hash": "", "tags": ""})
    admin.put("user-limits", "worker", "max-channels", value=9)
    admin.put("permissions", "tenant/one", "worker", **GRANTS)
    admin.put("topic-permissions", "tenant/one", "worker", exchange="amq.topic", write="^w", read="^r")
    admin.put("vhost-limits", "tenant/one", "max-queues", value=50)
    policy = {"pattern": r"^(?!amq\.).*", "definition": {"max-length": 5}, "priority": 3, "apply-to": "queues"}
    admin.put("policies", "tenant/one", "p", **policy)
    admin.put("operator-policies", "tenant/one", "o", pattern=".*", definition={"expires": 3_600_000}, priority=1)
    with admin.connect("guest", "tenant/one", "guest") as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments=ARGUMENTS)
        channel.queue_declare("exclusive", exclusive=True)
        channel.exchange_declare("e", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"})
        channel.exchange_declare("inner", "headers", durable=True, internal=True)
        channel.queue_bind("q", "e", "a.#")
        channel.queue_bind("q", "amq.headers", "", {"x-match": "any", "n": 1})
        channel.exchange_bind("inner", "e", "b")


def normal(document: dict[str, Any]) -> dict[str, list[Any]]:
    """What both brokers mean, in one order: vhosts by what describes them, users' limits always there."""
    found: dict[str, list[Any]] = {section: document.get(section, []) for section in SECTIONS}
    found["vhosts"] = [vhost["name"] for vhost in found["vhosts"]]
    found["global_parameters"] = []  # RabbitMQ numbers its clusters there
    queues = ("name", "vhost", "durable", "auto_delete", "arguments")
    found["queues"] = [{key: queue[key] for key in queues} for queue in found["queues"]]
    return {section: sorted(rows, key=in_order) for section, rows in found.items()}


def in_order(row: Any) -> str:
    return json.dumps(row, sort_keys=True)


def running(kind: str) -> Iterator[Broker]:
    broker_kind = KINDS[kind]
    if broker_kind.missing():
        pytest.skip(broker_kind.missing())
    broker = broker_kind(management=True)
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[Broker]:
    yield from running("rabbitmq")


@pytest.fixture(scope="module")
def leveret() -> Iterator[Broker]:
    yield from running("leveret")


@pytest.mark.parametrize(("source", "target"), [("rabbitmq", "leveret"), ("leveret", "rabbitmq")])
def test_what_one_broker_exports_the_other_takes(request: pytest.FixtureRequest, source: str, target: str) -> None:
    giver, taker = Admin(request.getfixturevalue(source)), Admin(request.getfixturevalue(target))
    fill(giver)
    exported = giver.get("definitions")
    assert {queue["name"] for queue in exported["queues"]} == {"q"}
    status, answer = taker.call("POST", "definitions", body=exported)
    assert (status, answer) == (204, None)
    assert normal(taker.get("definitions")) == normal(exported)
    assert taker.call("POST", "definitions", body=exported) == (204, None)  # nothing is there twice
    assert normal(taker.get("definitions")) == normal(exported)
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        taker.connect("nobody", "tenant/one", "")
    taker.connect("worker", "tenant/one").close()
    for admin in (giver, taker):
        for parts in (("vhosts", "tenant/one"), ("users", "worker"), ("users", "nobody")):
            admin.delete(*parts)


def test_one_virtual_host_goes_into_another(admin: Admin) -> None:
    fill(admin)
    try:
        exported = admin.get("definitions", "tenant/one")
        assert not {"users", "vhosts", "permissions"} & exported.keys()
        assert all("vhost" not in row for section in ("queues", "exchanges", "bindings") for row in exported[section])
        vhost = admin.vhost()
        assert admin.call("POST", "definitions", vhost, body=exported) == (204, None)
        again = admin.get("definitions", vhost)
        for section in ("queues", "exchanges", "bindings"):
            assert sorted(again[section], key=in_order) == sorted(exported[section], key=in_order)
        assert [policy["name"] for policy in again["policies"]] == ["p"]
        assert admin.get("vhost-limits", vhost) == [{"vhost": vhost, "value": {"max-queues": 50}}]
    finally:
        for parts in (("vhosts", "tenant/one"), ("users", "worker"), ("users", "nobody")):
            admin.delete(*parts)


QUEUE = {"name": "q", "durable": True, "auto_delete": False, "arguments": {}}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"users": [{"name": "x", "password_hash": "xx", "tags": ""}]}, ["not_base64", "xx"]),
        ({"queues": [{**QUEUE, "vhost": "none"}]}, ["no_such_vhost", "none"]),
        ({"queues": [QUEUE]}, ["no_such_vhost", "undefined"]),
        (
            {"permissions": [{"user": "none", "vhost": "/", "configure": "", "write": "", "read": ""}]},
            ["no_such_user", "none"],
        ),
        (
            {"parameters": [{"component": "none", "vhost": "/", "name": "n", "value": {"a": 1}}]},
            "Validation failed\n\ncomponent none not found\n (//none/n)",
        ),
        (
            {"policies": [{"name": "p", "vhost": "/", "pattern": "a", "definition": {"max-length": -1}}]},
            "Validation failed\n\n-1 is not a valid maximum length\n (//p)",
        ),
    ],
)
def test_what_cannot_be_imported_is_said(admin: Admin, document: dict[str, Any], reason: Any) -> None:
    status, answer = admin.call("POST", "definitions", body=document)
    assert (status, answer) == (400, {"error": "bad_request", "reason": reason})


def test_what_is_there_already_stays_as_it_is(admin: Admin) -> None:
    vhost = admin.vhost()
    with admin.connect("guest", vhost, "guest") as connection:
        connection.channel().queue_declare("q", durable=False)
    assert admin.call("POST", "definitions", body={"queues": [{**QUEUE, "vhost": vhost}]}) == (204, None)
    assert [queue["durable"] for queue in admin.get("definitions", vhost)["queues"]] == [False]


def test_a_binding_that_leads_nowhere_is_passed_over(admin: Admin) -> None:
    vhost = admin.vhost()
    rest = {"vhost": vhost, "destination_type": "queue", "routing_key": "k", "arguments": {}}
    bindings = [
        {"source": "none", "destination": "q", **rest},
        {"source": "amq.direct", "destination": "none", **rest},
    ]
    document = {"queues": [{**QUEUE, "vhost": vhost}], "bindings": bindings}
    assert admin.call("POST", "definitions", body=document) == (204, None)
    assert admin.get("definitions", vhost)["bindings"] == []


def test_what_was_answered_survives_a_crash(managed_broker: Broker) -> None:
    admin = Admin(managed_broker)
    fill(admin)
    admin.delete("users", "nobody")
    managed_broker.keep_declared()
    managed_broker.kill()
    managed_broker.start()
    there = normal(admin.get("definitions"))
    assert "tenant/one" in there["vhosts"]
    assert {user["name"] for user in there["users"]} == {"guest", "worker"}
    granted = {(row["user"], row["vhost"]) for row in there["permissions"]}
    assert granted == {("guest", "/"), ("guest", "tenant/one"), ("worker", "tenant/one")}
    assert [len(there[section]) for section in ("topic_permissions", "policies", "queues", "bindings")] == [1, 1, 1, 3]
    admin.connect("worker", "tenant/one").close()
