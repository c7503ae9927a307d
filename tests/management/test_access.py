"""What users may do over HTTP, by their tags and permissions, on both brokers: https://www.rabbitmq.com/docs/management."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from brokers import Broker
from management.support import Api

GET = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
PUBLISH = {"properties": {}, "routing_key": "q", "payload": "hi", "payload_encoding": "string"}
SETUP: list[tuple[str, Any]] = [
    ("/vhosts/v", None),
    ("/users/user", {"password": "p", "tags": "management"}),
    ("/users/monitor", {"password": "p", "tags": "monitoring"}),
    ("/users/nobody", {"password": "p", "tags": ""}),
    ("/permissions/%2F/user", {"configure": "^mine", "write": "^mine", "read": "^mine"}),
    ("/queues/%2F/mine-q", {}),
    ("/queues/%2F/yours", {}),
    ("/queues/v/hidden", {}),
    ("/exchanges/%2F/mine-x", {"type": "topic"}),
    ("/exchanges/%2F/yours-x", {"type": "topic"}),
]

REFUSED = "Access refused."
NO_ENTRY = "User not authorised to access virtual host"


@pytest.fixture(scope="module")
def prepared(shared: Broker) -> Iterator[Broker]:
    api = Api(shared)
    for path, body in SETUP:
        assert api("PUT", path, body).status == 201
    yield shared


@pytest.mark.parametrize(
    ("user", "method", "path", "body", "status"),
    [
        ("user", "GET", "/whoami", None, 200),
        ("user", "GET", "/overview", None, 200),
        ("user", "PUT", "/queues/%2F/mine", {}, 201),
        ("user", "POST", "/queues/%2F/mine-q/get", GET, 200),
        ("user", "POST", "/exchanges/%2F/mine-x/publish", PUBLISH, 200),
        ("user", "POST", "/bindings/%2F/e/mine-x/q/mine-q", {"routing_key": "k"}, 201),
        ("user", "GET", "/health/checks/alarms", None, 200),
        ("monitor", "GET", "/nodes", None, 200),
    ],
)
def test_what_is_allowed(prepared: Broker, user: str, method: str, path: str, body: Any, status: int) -> None:
    assert Api(prepared, f"{user}:p")(method, path, body).status == status


@pytest.mark.parametrize(
    ("user", "method", "path", "body", "reason"),
    [
        ("user", "GET", "/nodes", None, "Not monitor user"),
        ("user", "GET", "/users", None, "Not administrator user"),
        ("user", "GET", "/queues/v", None, NO_ENTRY),
        ("user", "GET", "/queues/v/hidden", None, NO_ENTRY),
        ("user", "GET", "/exchanges/v", None, NO_ENTRY),
        ("user", "GET", "/bindings/v", None, NO_ENTRY),
        ("user", "PUT", "/queues/%2F/other", {}, REFUSED),
        ("user", "PUT", "/queues/v/mine", {}, NO_ENTRY),
        ("user", "PUT", "/exchanges/%2F/other", {"type": "direct"}, REFUSED),
        ("user", "DELETE", "/queues/%2F/yours", None, REFUSED),
        ("user", "DELETE", "/queues/%2F/yours/contents", None, REFUSED),
        ("user", "DELETE", "/exchanges/%2F/yours-x", None, REFUSED),
        ("user", "POST", "/queues/v/hidden/get", GET, NO_ENTRY),
        ("user", "POST", "/exchanges/v/amq.topic/publish", PUBLISH, NO_ENTRY),
        ("user", "POST", "/bindings/%2F/e/yours-x/q/mine-q", {"routing_key": "k"}, REFUSED),
        ("user", "POST", "/bindings/%2F/e/mine-x/q/yours", {"routing_key": "k"}, REFUSED),
        ("user", "GET", "/aliveness-test/v", None, NO_ENTRY),
        ("monitor", "PUT", "/queues/v/x", {}, NO_ENTRY),
        ("monitor", "POST", "/queues/v/hidden/get", GET, NO_ENTRY),
        ("nobody", "GET", "/whoami", None, "Not management user"),
    ],
)
def test_what_is_not(prepared: Broker, user: str, method: str, path: str, body: Any, reason: str) -> None:
    refused = Api(prepared, f"{user}:p")(method, path, body)
    assert (refused.status, refused.json) == (401, {"error": "not_authorised", "reason": reason})


def test_some_refusals_tell_why(prepared: Broker) -> None:
    """RabbitMQ 4 begins with which access it is, 3.10 does not."""
    api = Api(prepared, "user:p")
    refused = api("POST", "/queues/%2F/yours/get", GET)
    assert refused.status == 401
    assert refused.json["reason"].endswith("access to queue 'yours' in vhost '/' refused for user 'user'")
    refused = api("POST", "/exchanges/%2F/yours-x/publish", PUBLISH)
    assert refused.status == 400 and refused.json["reason"].startswith("403 ACCESS_REFUSED - ")
    refused = api("GET", "/aliveness-test/%2F")
    assert refused.status == 401
    assert refused.json["reason"].endswith("access to queue 'aliveness-test' in vhost '/' refused for user 'user'")


def test_lists_show_what_one_may_see(prepared: Broker) -> None:
    def names(user: str, path: str) -> list[str]:
        return sorted(row["name"] for row in Api(prepared, f"{user}:p")("GET", path).json)

    assert names("user", "/vhosts") == ["/"]
    assert names("monitor", "/vhosts") == ["/", "v"]
    assert "hidden" not in names("user", "/queues") and "yours" in names("user", "/queues")
    with prepared.connect():
        assert names("user", "/connections") == []


@pytest.mark.parametrize("user", ["guest:wrong", "nope:nope"])
def test_who_cannot_log_in_gets_nothing(prepared: Broker, user: str) -> None:
    refused = Api(prepared, user)("GET", "/overview")
    assert (refused.status, refused.json) == (401, {"error": "not_authorized", "reason": "Login failed"})
    assert refused.headers["www-authenticate"].startswith("Basic realm=")
