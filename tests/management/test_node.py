"""Health, identity and connections over HTTP, on both brokers: https://www.rabbitmq.com/docs/http-api-reference."""

from __future__ import annotations

from urllib.parse import quote

import pika.exceptions
import pytest

from brokers import Broker
from management.support import Api
from management.test_topology import NOT_FOUND

OK = {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/whoami", {"name": "guest", "tags": ["administrator"]}),
        ("/aliveness-test/%2F", OK),
        ("/health/checks/alarms", OK),
        ("/health/checks/local-alarms", OK),
        ("/health/checks/virtual-hosts", OK),
        ("/health/checks/node-is-mirror-sync-critical", {**OK, "reason": "single node cluster"}),
        ("/health/checks/node-is-quorum-critical", {**OK, "reason": "single node cluster"}),
        ("/health/checks/protocol-listener/amqp", {**OK, "protocol": "amqp"}),
        ("/health/checks/protocol-listener/amqp091", {**OK, "protocol": "amqp"}),
        ("/healthchecks/node", OK),
    ],
)
def test_a_healthy_node_says_so(api: Api, path: str, answer: object) -> None:
    said = api("GET", path)
    assert (said.status, said.json) == (200, answer)


def test_the_aliveness_test_leaves_nothing_behind(api: Api, shared: Broker) -> None:
    for _ in range(3):
        assert api("GET", "/aliveness-test/%2F").json == OK
    with shared.connect() as connection:
        declared = connection.channel().queue_declare("aliveness-test", passive=True)
        assert declared.method.message_count == 0
    assert api("GET", "/aliveness-test/nope").json == NOT_FOUND


def test_listeners_are_checked(api: Api, shared: Broker) -> None:
    port = shared.port
    assert api("GET", f"/health/checks/port-listener/{port}").json == {**OK, "port": port}
    missing = api("GET", "/health/checks/port-listener/1")
    assert missing.status == 503
    assert (missing.json["reason"], missing.json["missing"]) == ("No active listener", 1)
    assert {port, shared.management_port} <= set(missing.json["ports"])
    missing = api("GET", "/health/checks/protocol-listener/mqtt")
    assert (missing.status, missing.json["missing"]) == (503, "mqtt")
    assert {"amqp", "http"} <= set(missing.json["protocols"])
    assert api("GET", "/health/checks/port-listener/x").json == {"error": "bad_request", "reason": "Invalid port"}


def test_the_node_and_its_virtual_hosts_are_listed(api: Api) -> None:
    (node,) = api("GET", "/nodes").json
    assert node["running"] is True
    assert api("GET", f"/nodes/{quote(node['name'], safe='')}").json["name"] == node["name"]
    (vhost,) = api("GET", "/vhosts").json
    assert (vhost["name"], vhost["tracing"], vhost["cluster_state"]) == ("/", False, {node["name"]: "running"})
    assert api("GET", "/vhosts/%2F").json["name"] == "/"
    assert api("GET", "/vhosts/nope").json == NOT_FOUND


@pytest.mark.parametrize(
    ("headers", "reason"), [({}, "Closed via management plugin"), ({"X-Reason": "enough"}, "enough")]
)
def test_a_connection_is_closed(api: Api, shared: Broker, headers: dict[str, str], reason: str) -> None:
    connection = shared.connect(heartbeat=0)
    rows: list[dict[str, object]] = []
    for _ in range(600):  # RabbitMQ lists a connection a moment after it was opened
        rows = [row for row in api("GET", "/connections").json if row.get("user") == "guest"]
        if rows:
            break
        connection.process_data_events(time_limit=0.05)
    (row,) = rows
    path = "/connections/" + quote(str(row["name"]), safe="")
    assert api("GET", path).json["name"] == row["name"]
    assert api("DELETE", path, headers=headers).status == 204
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        while True:
            connection.process_data_events(time_limit=10)
    assert (closed.value.reply_code, closed.value.reply_text) == (320, f"CONNECTION_FORCED - {reason}")
    for _ in range(600):  # and still lists it a moment after it was closed
        if api("GET", path).status == 404:
            break
    assert api("DELETE", path).json == NOT_FOUND


def test_details_of_what_is_not_there(api: Api) -> None:
    for path in ("/connections/nope", "/channels/nope", "/consumers/nope"):
        assert api("GET", path).json == NOT_FOUND
    assert api("GET", "/consumers/%2F").json == []
