"""The HTTP API for administrators: status codes, reasons and who may do what, as rabbitmq.com/docs/management says."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.administration import Admin

POLICY = {"pattern": "x", "definition": {"max-length": 1}}
GRANT = {"configure": "", "write": "", "read": ""}
NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}


def refusal(reason: Any) -> dict[str, Any]:
    return {"error": "bad_request", "reason": reason}


def test_what_is_new_is_created_and_what_is_there_is_changed(admin: Admin) -> None:
    vhost = admin.vhost()
    user = admin.user()
    topic = {"exchange": "amq.topic", "write": "", "read": ""}
    for parts, body in (
        (("permissions", vhost, user), GRANT),
        (("topic-permissions", vhost, user), topic),
        (("policies", vhost, "p"), POLICY),
        (("operator-policies", vhost, "p"), POLICY),
    ):
        assert admin.call("PUT", *parts, body=body) == (201, None)
        assert admin.call("PUT", *parts, body=body) == (204, None)
        assert admin.call("DELETE", *parts) == (204, None)
        assert admin.call("DELETE", *parts) == (404, NOT_FOUND)
    assert admin.call("PUT", "users", user, body={"tags": "a,b"}) == (204, None)
    assert admin.call("PUT", "vhosts", vhost, body={}) == (204, None)


@pytest.mark.parametrize(
    ("method", "parts", "body", "status", "answer"),
    [
        ("PUT", "users/{user}", {"password": "x"}, 400, refusal("tags_not_present")),
        ("PUT", "users/{user}", {"password_hash": "abc", "tags": ""}, 400, refusal(["not_base64", "abc"])),
        ("GET", "users/none", None, 404, NOT_FOUND),
        ("DELETE", "users/none", None, 404, NOT_FOUND),
        ("GET", "users/none/permissions", None, 404, NOT_FOUND),
        ("GET", "vhosts/none", None, 404, NOT_FOUND),
        ("DELETE", "vhosts/none", None, 404, NOT_FOUND),
        ("GET", "vhosts/none/permissions", None, 404, NOT_FOUND),
        ("PUT", "permissions/none/{user}", GRANT, 400, refusal("vhost_or_user_not_found")),
        ("PUT", "permissions/{vhost}/none", GRANT, 400, refusal("vhost_or_user_not_found")),
        ("PUT", "permissions/{vhost}/{user}", {"configure": "", "write": ""}, 400, refusal("[{key_missing,read}]")),
        ("GET", "permissions/{vhost}/none", None, 404, NOT_FOUND),
        ("GET", "topic-permissions/{vhost}/{user}", None, 404, NOT_FOUND),
        (
            "PUT",
            "topic-permissions/{vhost}/{user}",
            {"write": "", "read": ""},
            400,
            refusal("[{key_missing,exchange}]"),
        ),
        ("GET", "policies/none", None, 404, NOT_FOUND),
        ("GET", "policies/{vhost}/none", None, 404, NOT_FOUND),
        ("DELETE", "policies/none/none", None, 404, NOT_FOUND),
        ("PUT", "policies/none/p", POLICY, 404, {"error": "not_found", "reason": "vhost_not_found"}),
        ("PUT", "policies/{vhost}/p", {"pattern": "x"}, 400, refusal("[{key_missing,definition}]")),
        ("GET", "vhost-limits/none", None, 404, NOT_FOUND),
        ("PUT", "vhost-limits/none/max-queues", {"value": 1}, 404, {"error": "not_found", "reason": "vhost_not_found"}),
        ("PUT", "vhost-limits/{vhost}/max-queues", {}, 400, refusal("[{key_missing,value}]")),
        (
            "PUT",
            "vhost-limits/{vhost}/max-bad",
            {"value": 1},
            400,
            refusal('Validation failed\n\nUnrecognised terms [{<<"max-bad">>,1}] in limits\n'),
        ),
        (
            "PUT",
            "vhost-limits/{vhost}/max-queues",
            {"value": "x"},
            400,
            refusal('Validation failed\n\nmax-queues should be a number, actually was <<"x">>\n'),
        ),
        ("PUT", "user-limits/none/max-channels", {"value": 1}, 400, refusal(["no_such_user", "none"])),
        (
            "PUT",
            "user-limits/{user}/max-bad",
            {"value": 1},
            400,
            refusal('Unrecognised terms [{<<"max-bad">>,1}] in user-limits'),
        ),
        ("POST", "definitions", [1], 400, refusal("failed_to_parse_json")),
        ("POST", "definitions/none", {}, 404, {"error": "not_found", "reason": "vhost_not_found"}),
    ],
)
def test_what_cannot_be_is_refused(
    admin: Admin, method: str, parts: str, body: Any, status: int, answer: dict[str, Any]
) -> None:
    names = {"{vhost}": admin.vhost(), "{user}": admin.user()}
    path = [names.get(part, part) for part in parts.split("/")]
    assert admin.call(method, *path, body=body) == (status, answer)


@pytest.mark.parametrize(("method", "path"), [("POST", "users"), ("PUT", "vhosts"), ("PATCH", "users/x")])
def test_a_method_that_a_path_does_not_have(admin: Admin, method: str, path: str) -> None:
    assert admin.call(method, *path.split("/"), body={})[0] == 405


def test_a_path_that_is_none(admin: Admin) -> None:
    assert admin.call("GET", "no", "such", "path")[0] == 404


WHAT = "Not administrator user"
VHOST = "User not authorised to access virtual host"
OBJECT = "User not authorised to access object"


@pytest.mark.parametrize(
    ("tag", "method", "path", "body", "reason"),
    [
        ("", "GET", "whoami", None, "Not management user"),
        ("management", "GET", "whoami", None, None),
        ("monitoring", "GET", "users", None, WHAT),
        ("policymaker", "PUT", "users/{user}", {"tags": ""}, WHAT),
        ("policymaker", "PUT", "vhosts/{vhost}", {}, WHAT),
        ("management", "GET", "permissions", None, WHAT),
        ("management", "GET", "policies/{vhost}", None, None),
        ("management", "GET", "policies/{other}", None, VHOST),
        ("management", "PUT", "policies/{vhost}/p", POLICY, OBJECT),
        ("policymaker", "PUT", "policies/{vhost}/p", POLICY, None),
        ("policymaker", "PUT", "policies/{other}/p", POLICY, OBJECT),
        ("policymaker", "PUT", "operator-policies/{vhost}/p", POLICY, WHAT),
        ("management", "GET", "vhost-limits/{other}", None, VHOST),
        ("monitoring", "GET", "vhost-limits/{other}", None, None),
        ("policymaker", "PUT", "vhost-limits/{vhost}/max-queues", {"value": 100}, WHAT),
        ("management", "GET", "user-limits", None, None),
        ("management", "GET", "definitions", None, WHAT),
        ("policymaker", "POST", "definitions/{vhost}", {}, WHAT),
    ],
)
def test_tags_say_who_may_do_what(
    admin: Admin, tag: str, method: str, path: str, body: Any, reason: str | None
) -> None:
    vhost, other = admin.vhost(), admin.vhost()
    user = admin.user(vhost, tags=tag)
    names = {"{vhost}": vhost, "{other}": other, "{user}": user}
    parts = [names.get(part, part) for part in path.split("/")]
    status, answer = admin.call(method, *parts, body=body, user=f"{user}:secret")
    if reason is None:
        assert status in (200, 201, 204)
    else:
        assert (status, answer) == (401, {"error": "not_authorised", "reason": reason})


def test_users_are_shown_with_hash_tags_and_limits(admin: Admin) -> None:
    user = admin.user(tags="monitoring,mine")
    admin.put("user-limits", user, "max-channels", value=7)
    shown = admin.get("users", user)
    assert set(shown) == {"name", "password_hash", "hashing_algorithm", "tags", "limits"}
    assert (shown["tags"], shown["limits"]) == (["monitoring", "mine"], {"max-channels": 7})
    assert shown["hashing_algorithm"] == "rabbit_password_hashing_sha256"
    assert user in [row["name"] for row in admin.get("users", "without-permissions")]
    assert admin.get("user-limits", user) == [{"user": user, "value": {"max-channels": 7}}]
