"""Publishing and getting over HTTP, on both brokers: https://www.rabbitmq.com/docs/http-api-reference."""

from __future__ import annotations

from typing import Any

import pytest

from brokers import Broker
from management.support import Api
from management.test_topology import bad

PUBLISH = "/exchanges/%2F/amq.default/publish"
PROPERTIES = {
    "delivery_mode": 2,
    "headers": {"a": 1, "b": [1, "x", True], "c": {"d": 1.5}},
    "content_type": "t/x",
    "priority": 3,
    "timestamp": 5,
    "expiration": "600000",
    "message_id": "m",
    "correlation_id": "c",
    "reply_to": "r",
    "type": "t",
    "app_id": "a",
    "user_id": "guest",
}


def message(key: str, payload: str = "hi", encoding: str = "string", **properties: Any) -> dict[str, Any]:
    return {"properties": properties, "routing_key": key, "payload": payload, "payload_encoding": encoding}


def get(api: Api, name: str, mode: str, count: int = 10, encoding: str = "auto", **more: Any) -> Any:
    answer = api("POST", f"/queues/%2F/{name}/get", {"count": count, "ackmode": mode, "encoding": encoding, **more})
    assert answer.status == 200, answer
    return answer.json


def test_a_message_goes_in_and_comes_out(api: Api, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}", {"durable": True})
    assert api("POST", PUBLISH, message(name, "aGk=", "base64", **PROPERTIES)).json == {"routed": True}
    assert get(api, name, "ack_requeue_false") == [
        {
            "payload_bytes": 2,
            "redelivered": False,
            "exchange": "",
            "routing_key": name,
            "message_count": 0,
            "properties": PROPERTIES,
            "payload": "hi",
            "payload_encoding": "string",
        }
    ]
    assert get(api, name, "ack_requeue_false") == []


def test_whether_it_was_routed_is_told(api: Api, name: str) -> None:
    assert api("POST", PUBLISH, message(name)).json == {"routed": False}


def test_a_message_of_a_client_is_shown(api: Api, shared: Broker, name: str) -> None:
    with shared.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(name)
        channel.basic_publish("", name, b"\xff\xfe", mandatory=True)
    (shown,) = get(api, name, "ack_requeue_true")
    assert (shown["payload"], shown["payload_encoding"], shown["properties"]) == ("//4=", "base64", [])


@pytest.mark.parametrize("mode", ["ack_requeue_true", "reject_requeue_true"])
def test_what_is_put_back_is_in_its_old_place(api: Api, name: str, mode: str) -> None:
    api("PUT", f"/queues/%2F/{name}")
    for payload in ("one", "two", "three"):
        api("POST", PUBLISH, message(name, payload))
    first = get(api, name, mode, 2)
    assert [(one["payload"], one["message_count"], one["redelivered"]) for one in first] == [
        ("one", 2, False),
        ("two", 1, False),
    ]
    rest = get(api, name, "reject_requeue_false", encoding="base64")
    assert [(one["payload"], one["redelivered"]) for one in rest] == [
        ("b25l", True),
        ("dHdv", True),
        ("dGhyZWU=", False),
    ]
    assert get(api, name, mode) == []


def test_what_is_rejected_is_dead_lettered(api: Api, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}-dead")
    api(
        "PUT",
        f"/queues/%2F/{name}",
        {"arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}-dead"}},
    )
    for payload in ("acked", "rejected"):
        api("POST", PUBLISH, message(name, payload))
    get(api, name, "ack_requeue_false", 1)
    get(api, name, "reject_requeue_false", 1)
    (dead,) = get(api, f"{name}-dead", "ack_requeue_false")
    assert dead["payload"] == "rejected"


def test_a_long_payload_can_be_cut(api: Api, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}")
    api("POST", PUBLISH, message(name, "0123456789"))
    (shown,) = get(api, name, "ack_requeue_false", truncate=4)
    assert (shown["payload"], shown["payload_bytes"]) == ("0123", 10)


def test_more_messages_than_are_kept_in_memory_are_got(api: Api, shared: Broker, name: str) -> None:
    with shared.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(name, durable=True)
        for number in range(60):
            channel.basic_publish("", name, bytes([number]) * 200_000, mandatory=True)
        got = get(api, name, "ack_requeue_false", 100, "base64", truncate=1)
        assert len(got) == 60
        assert channel.queue_declare(name, passive=True).method.message_count == 0
        channel.queue_delete(name)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in message("q").items() if name != key}


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (PUBLISH, without("properties"), "[{key_missing,properties}]"),
        (PUBLISH, without("payload_encoding"), "[{key_missing,payload_encoding}]"),
        (PUBLISH, message("q", encoding="wat"), ["unsupported_encoding", "wat"]),
        (PUBLISH, message("q", "!!", "base64"), ["not_base64", "!!"]),
        (PUBLISH, message("q", priority="x"), ["not_int", "priority"]),
        (
            PUBLISH,
            message("q", user_id="x"),
            "406 PRECONDITION_FAILED - user_id property set to 'x' but authenticated user was 'guest'",
        ),
        (
            "/exchanges/%2F/nope/publish",
            message("q"),
            "404 NOT_FOUND - no exchange 'nope' in vhost '/'",
        ),
        ("/queues/%2F/q/get", {"count": 5, "encoding": "auto"}, "[{key_missing,ackmode}]"),
        (
            "/queues/%2F/q/get",
            {"count": "x", "encoding": "auto", "ackmode": "ack_requeue_true"},
            ["not_integer", "x"],
        ),
        (
            "/queues/%2F/q/get",
            {"count": 1, "encoding": "wat", "ackmode": "ack_requeue_true"},
            "Unsupported encoding. Please use auto or base64.",
        ),
    ],
)
def test_what_is_wrong_is_told_in_the_same_words(api: Api, path: str, body: Any, reason: Any) -> None:
    api("PUT", "/queues/%2F/q")
    refused = api("POST", path, body)
    assert (refused.status, refused.json) == (400, bad(reason))


def test_getting_from_a_queue_that_is_not_there(api: Api) -> None:
    refused = api("POST", "/queues/%2F/nope/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"})
    reason = "NOT_FOUND - no queue 'nope' in vhost '/'"
    assert (refused.status, refused.json) == (404, {"error": "not_found", "reason": reason})


@pytest.mark.not_on_rabbitmq("3.10 answers 500")
def test_an_ackmode_that_is_none_is_refused(api: Api) -> None:
    api("PUT", "/queues/%2F/q")
    refused = api("POST", "/queues/%2F/q/get", {"count": 1, "ackmode": "wat", "encoding": "auto"})
    assert refused.status == 400
