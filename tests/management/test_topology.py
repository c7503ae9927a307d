"""Queues, exchanges and bindings over HTTP, on both brokers: https://www.rabbitmq.com/docs/http-api-reference."""

from __future__ import annotations

from typing import Any

import pika
import pika.exceptions
import pytest

from brokers import Broker
from management.support import Api

NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}
REFUSED = {"error": "not_authorised", "reason": "Access refused."}


def bad(reason: object) -> dict[str, object]:
    return {"error": "bad_request", "reason": reason}


def test_a_queue_is_declared_once_and_then_found(api: Api, shared: Broker, name: str) -> None:
    body = {"durable": True, "auto_delete": False, "arguments": {"x-max-length": 7}}
    assert api("PUT", f"/queues/%2F/{name}", body).status == 201
    assert api("PUT", f"/queues/%2F/{name}", body).status == 204
    found = api("GET", f"/queues/%2F/{name}").json
    assert (found["durable"], found["auto_delete"], found["arguments"]) == (True, False, {"x-max-length": 7})
    with shared.connect() as connection:
        connection.channel().queue_declare(name, durable=True, arguments={"x-max-length": 7})


def test_what_the_body_does_not_say_is_false(api: Api, name: str) -> None:
    assert api("PUT", f"/queues/%2F/{name}").status == 201
    found = api("GET", f"/queues/%2F/{name}").json
    assert (found["durable"], found["auto_delete"], found["arguments"]) == (False, False, {})


@pytest.mark.parametrize(
    ("path", "body", "status", "answer"),
    [
        ("/queues/%2F/q", {"durable": "maybe"}, 400, bad(["not_boolean", "maybe"])),
        ("/queues/%2F/amq.q", {}, 401, REFUSED),
        ("/queues/nope/q", {}, 404, {"error": "not_found", "reason": "vhost_not_found"}),
        (
            "/queues/%2F/wrong",
            {"arguments": {"x-message-ttl": -1}},
            400,
            bad("invalid arg 'x-message-ttl' for queue 'wrong' in vhost '/': {value_negative,-1}"),
        ),
        ("/exchanges/%2F/x", {"type": "wat"}, 400, bad("unknown exchange type 'wat'")),
        ("/exchanges/%2F/amq.x", {"type": "direct"}, 401, REFUSED),
        ("/exchanges/%2F/amq.default", {"type": "direct"}, 401, REFUSED),
        (
            "/exchanges/%2F/amq.topic",
            {"type": "direct", "durable": True},
            400,
            bad(
                "inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': received 'direct' but current is 'topic'"
            ),
        ),
    ],
)
def test_a_wrong_declaration_is_refused_in_the_same_words(
    api: Api, path: str, body: Any, status: int, answer: Any
) -> None:
    refused = api("PUT", path, body)
    assert (refused.status, refused.json) == (status, answer)


@pytest.mark.parametrize("text", ["{", "[]", "7"])
def test_a_body_that_is_no_object_is_refused(api: Api, text: str) -> None:
    refused = api("PUT", "/queues/%2F/no-object", text=text)
    assert (refused.status, refused.json) == (400, bad("not_json"))


def test_a_queue_declared_otherwise_is_refused(api: Api, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}", {"durable": True})
    refused = api("PUT", f"/queues/%2F/{name}", {"durable": False})
    text = f"inequivalent arg 'durable' for queue '{name}' in vhost '/': received 'false' but current is 'true'"
    assert (refused.status, refused.json) == (400, bad(text))


def test_a_queue_is_purged_and_deleted(api: Api, shared: Broker, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}", {"durable": True})
    with shared.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", name, b"one", mandatory=True)
        refused = api("DELETE", f"/queues/%2F/{name}?if-empty=true")
        assert (refused.status, refused.json) == (400, bad(f"queue '{name}' in vhost '/' not empty"))
        assert api("DELETE", f"/queues/%2F/{name}/contents").status == 204
        assert channel.queue_declare(name, passive=True).method.message_count == 0
        channel.basic_consume(name, lambda *_: None)
        refused = api("DELETE", f"/queues/%2F/{name}?if-unused=true")
        assert (refused.status, refused.json) == (400, bad(f"queue '{name}' in vhost '/' in use"))
        assert api("DELETE", f"/queues/%2F/{name}?if-empty=true").status == 204
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            connection.channel().queue_declare(name, passive=True)
    for path in (f"/queues/%2F/{name}", f"/queues/%2F/{name}/contents"):
        assert (api("DELETE", path).status, api("DELETE", path).json) == (404, NOT_FOUND)


def test_an_exchange_is_declared_listed_and_deleted(api: Api, name: str) -> None:
    body = {"type": "topic", "durable": True, "auto_delete": False, "internal": True, "arguments": {"k": "v"}}
    assert api("PUT", f"/exchanges/%2F/{name}", body).status == 201
    assert api("PUT", f"/exchanges/%2F/{name}", body).status == 204
    expected = {"name": name, "vhost": "/", **body}
    found = api("GET", f"/exchanges/%2F/{name}").json
    assert {key: found[key] for key in expected} == expected
    for path in ("/exchanges", "/exchanges/%2F"):
        (listed,) = (row for row in api("GET", path).json if row["name"] == name)
        assert {key: listed[key] for key in expected} == expected
    assert api("DELETE", f"/exchanges/%2F/{name}").status == 204
    assert api("DELETE", f"/exchanges/%2F/{name}").json == NOT_FOUND


@pytest.mark.not_on_rabbitmq("the plugin rabbitmq_delayed_message_exchange is not part of its distribution")
def test_a_delayed_exchange_tells_how_many_messages_wait_in_it(api: Api, shared: Broker, name: str) -> None:
    body = {"type": "x-delayed-message", "durable": True, "arguments": {"x-delayed-type": "direct"}}
    assert api("PUT", f"/exchanges/%2F/{name}", body).status == 201
    with shared.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish(name, "k", b"x", pika.BasicProperties(delivery_mode=2, headers={"x-delay": 60_000}))
    assert api("GET", f"/exchanges/%2F/{name}").json["messages_delayed"] == 3
    assert "messages_delayed" not in api("GET", "/exchanges/%2F/amq.direct").json


def test_the_predeclared_exchanges_are_listed_and_stay(api: Api) -> None:
    listed = {row["name"]: row["type"] for row in api("GET", "/exchanges/%2F").json}
    assert (
        listed.items()
        >= {
            "": "direct",
            "amq.direct": "direct",
            "amq.fanout": "fanout",
            "amq.topic": "topic",
            "amq.headers": "headers",
            "amq.match": "headers",
        }.items()
    )
    assert api("GET", "/exchanges/%2F/amq.default").json["name"] == ""
    for name in ("amq.direct", "amq.default"):
        refused = api("DELETE", f"/exchanges/%2F/{name}")
        assert (refused.status, refused.json) == (401, REFUSED)


@pytest.mark.parametrize(("key", "quoted"), [("", "~"), ("a.b", "a.b"), ("plain key/~x", "plain+key%2F%7Ex")])
def test_a_binding_is_made_named_and_removed(api: Api, name: str, key: str, quoted: str) -> None:
    api("PUT", f"/queues/%2F/{name}")
    api("PUT", f"/exchanges/%2F/{name}", {"type": "direct"})
    path = f"/bindings/%2F/e/{name}/q/{name}"
    made = api("POST", path, {"routing_key": key})
    assert made.status == 201
    assert made.headers["location"] == f"{name}/{quoted.replace('%', '%25').replace('+', '%2B')}"
    view = {
        "source": name,
        "vhost": "/",
        "destination": name,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
        "properties_key": quoted,
    }
    last = made.headers["location"].partition("/")[2]
    assert api("GET", path).json == [view]
    assert api("GET", f"{path}/{last}").json == view
    assert view in api("GET", "/bindings/%2F").json
    assert view in api("GET", f"/queues/%2F/{name}/bindings").json
    assert api("GET", f"/exchanges/%2F/{name}/bindings/source").json == [view]
    refused = api("DELETE", f"/exchanges/%2F/{name}?if-unused=true")
    assert (refused.status, refused.json) == (400, bad(f"exchange '{name}' in vhost '/' in use"))
    assert api("DELETE", f"{path}/{last}").status == 204
    assert api("GET", path).json == []
    assert api("DELETE", f"{path}/{last}").json == NOT_FOUND


def test_bindings_with_arguments_are_told_apart(api: Api, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}")
    path = f"/bindings/%2F/e/amq.headers/q/{name}"
    for value in (1, 2):
        assert api("POST", path, {"routing_key": "k", "arguments": {"a": value}}).status == 201
    one, two = api("GET", path).json
    assert one["properties_key"] != two["properties_key"] and one["properties_key"].startswith("k~")
    last = one["properties_key"].replace("%", "%25")
    assert api("DELETE", f"{path}/{last}").status == 204
    assert api("GET", path).json == [two]


def test_an_exchange_is_bound_to_an_exchange(api: Api, name: str) -> None:
    api("PUT", f"/exchanges/%2F/{name}", {"type": "fanout"})
    path = f"/bindings/%2F/e/amq.topic/e/{name}"
    assert api("POST", path, {"routing_key": "b"}).headers["location"] == f"{name}/b"
    (view,) = api("GET", path).json
    assert (view["destination_type"], view["routing_key"]) == ("exchange", "b")
    assert api("GET", f"/exchanges/%2F/{name}/bindings/destination").json == [view]
    assert api("DELETE", f"{path}/b").status == 204


def test_a_queue_is_bound_to_the_default_exchange(api: Api, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}")
    (view,) = api("GET", f"/queues/%2F/{name}/bindings").json
    assert (view["source"], view["routing_key"], view["properties_key"]) == ("", name, name)
    refused = api("POST", f"/bindings/%2F/e/amq.default/q/{name}", {"routing_key": "b"})
    assert (refused.status, refused.json) == (401, REFUSED)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/bindings/%2F/e/nope/q/bound", "no exchange 'nope' in vhost '/'"),
        ("/bindings/%2F/e/amq.direct/q/nope", "no queue 'nope' in vhost '/'"),
    ],
)
def test_what_is_not_there_cannot_be_bound(api: Api, path: str, reason: str) -> None:
    api("PUT", "/queues/%2F/bound")
    refused = api("POST", path, {"routing_key": "b"})
    assert (refused.status, refused.json) == (404, {"error": "not_found", "reason": reason})


def test_a_path_or_method_that_is_not_there(api: Api) -> None:
    assert api("GET", "/nope").json == NOT_FOUND
    assert api("GET", "/queues/nope").json == NOT_FOUND
    assert api("GET", "/exchanges/nope").json == NOT_FOUND
    assert api("POST", "/queues/%2F/q").status == 405
    assert api("DELETE", "/overview").headers["allow"] == "HEAD, GET, OPTIONS"
