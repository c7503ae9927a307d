"""What the API does not let happen: pages of other sites, pages made of names, more than a user's tags allow, slow patterns."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from brokers import Broker, Leveret
from management.support import Api

ALL = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture(scope="module")
def leveret() -> Iterator[Leveret]:
    own = Leveret(management=True)
    own.start()
    yield own
    own.remove()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_site_changes_nothing(leveret: Leveret, headers: dict[str, str]) -> None:
    api = Api(leveret)
    for method, path in (("PUT", "/queues/%2F/foreign"), ("GET", "/overview"), ("POST", "/rebalance/queues")):
        refused = api(method, path, {}, headers=headers)
        assert (refused.status, refused.json["error"]) == (403, "forbidden")
    assert api("GET", "/queues/%2F/foreign").status == 404


def test_a_page_of_this_site_and_programs_are_let_in(leveret: Leveret) -> None:
    api = Api(leveret)
    own = f"http://127.0.0.1:{leveret.management_port}"
    for headers in ({"Sec-Fetch-Site": "same-origin", "Origin": own}, {"Origin": own}, {"Sec-Fetch-Site": "none"}, {}):
        assert api("PUT", "/queues/%2F/own", {}, headers=headers).status in (201, 204)
    api("DELETE", "/queues/%2F/own")


def test_every_answer_says_that_it_is_no_page(leveret: Leveret) -> None:
    for path, user in (("/api/overview", "guest:guest"), ("/api/nothing", "guest:guest"), ("/api/overview", "no:one")):
        headers = Api(leveret, user).at("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["content-type"] == "application/json"
    assert Api(leveret).at("GET", "/metrics").headers["x-content-type-options"] == "nosniff"


def test_hostile_names_come_back_as_they_are_in_json(api: Api) -> None:
    name = '<script>alert("x")</script>\u2028'
    path = f"/queues/%2F/{quote(name, safe='')}"
    assert api("PUT", path, {}).status == 201
    answer = api("GET", path)
    assert answer.json["name"] == name
    assert answer.headers["content-type"] == "application/json"
    api("DELETE", path)


GETS = (
    *(
        "/overview",
        "/nodes",
        "/connections",
        "/channels",
        "/consumers",
        "/exchanges",
        "/queues",
        "/bindings",
        "/vhosts",
    ),
    *("/users", "/permissions", "/topic-permissions", "/policies", "/operator-policies", "/definitions"),
    *("/parameters", "/global-parameters", "/vhost-limits", "/user-limits", "/feature-flags", "/extensions", "/whoami"),
    *("/cluster-name", "/health/checks/alarms", "/health/checks/virtual-hosts"),
)


@pytest.fixture(scope="module")
def tagged(shared: Broker) -> Broker:
    """With a user for each tag, named after it, who may use the default virtual host."""
    api = Api(shared)
    for tag in ("management", "policymaker", "monitoring", "administrator", "other"):
        assert api("PUT", f"/users/{tag}", {"password": "p", "tags": tag}).status == 201
        assert api("PUT", f"/permissions/%2F/{tag}", ALL).status == 201
    return shared


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/overview", "management policymaker monitoring administrator"),
        ("/nodes", "monitoring administrator"),
        ("/queues/%2F", "management policymaker monitoring administrator"),
        ("/users", "administrator"),
        ("/permissions", "administrator"),
        ("/definitions", "administrator"),
        ("/policies", "management policymaker monitoring administrator"),
        ("/parameters", "policymaker administrator"),
        ("/whoami", "management policymaker monitoring administrator"),
        ("/connections", "management policymaker monitoring administrator"),
    ],
)
def test_a_user_sees_what_its_tag_allows(tagged: Broker, path: str, allowed: str) -> None:
    tags = ("management", "policymaker", "monitoring", "administrator", "other")
    seeing = [tag for tag in tags if Api(tagged, f"{tag}:p")("GET", path).status == 200]
    assert seeing == allowed.split()


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("PUT", "/vhosts/made", {}, "administrator"),
        ("PUT", "/users/made", {"password": "x", "tags": ""}, "administrator"),
        ("PUT", "/policies/%2F/made", {"pattern": "^x", "definition": {"max-length": 1}}, "policymaker administrator"),
        ("PUT", "/operator-policies/%2F/made", {"pattern": "^x", "definition": {"max-length": 1}}, "administrator"),
        ("PUT", "/global-parameters/made", {"value": 1}, "policymaker administrator"),
        ("PUT", "/permissions/%2F/other", ALL, "administrator"),
        ("PUT", "/vhost-limits/%2F/max-queues", {"value": 1000}, "administrator"),
        ("POST", "/rebalance/queues", {}, "administrator"),
    ],
)
def test_a_user_changes_what_its_tag_allows(
    tagged: Broker, method: str, path: str, body: dict[str, object], allowed: str
) -> None:
    tags = ("management", "policymaker", "monitoring", "administrator", "other")
    changing = [tag for tag in tags if Api(tagged, f"{tag}:p")(method, path, body).status in (201, 204)]
    assert changing == allowed.split()


def test_the_overview_of_a_user_is_of_what_it_may_see(tagged: Broker) -> None:
    mine = Api(tagged, "management:p")("GET", "/overview").json
    assert "listeners" not in mine and "node" not in mine
    assert "listeners" in Api(tagged, "monitoring:p")("GET", "/overview").json


def test_looking_changes_nothing(leveret: Leveret) -> None:
    def everything() -> str:
        text = json.dumps([Api(leveret)("GET", path).json for path in ("/definitions", "/queues", "/exchanges")])
        return re.sub(r'"rate": [0-9.]+', "", text)

    before = everything()
    for path in GETS:
        assert Api(leveret)("GET", path).status == 200, path
    assert everything() == before


def test_a_pattern_that_could_run_for_ever_does_not(leveret: Leveret) -> None:
    api = Api(leveret)
    name = "a" * 200
    api("PUT", f"/queues/%2F/{name}", {})
    began = time.monotonic()
    answer = api("GET", f"/queues?page=1&use_regex=true&name={quote('(a+)+$b', safe='')}")
    assert answer.status in (200, 400)
    assert time.monotonic() - began < 20
    api("DELETE", f"/queues/%2F/{name}")


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:15672", "REBOUND.example."])
def test_guest_is_nobody_under_a_name_that_others_may_have_pointed_at_this_machine(leveret: Leveret, host: str) -> None:
    assert Api(leveret)("GET", "/whoami", headers={"Host": host}).status == 401


@pytest.mark.parametrize("host", ["localhost", "broker:15672", "app.localhost", "127.0.0.1", "[::1]:15672"])
def test_guest_is_known_under_this_machines_own_names(leveret: Leveret, host: str) -> None:
    assert Api(leveret)("GET", "/whoami", headers={"Host": host}).status == 200


def test_what_is_nested_too_deeply_is_refused(leveret: Leveret) -> None:
    assert Api(leveret)("PUT", "/queues/%2F/deep", text="[" * 50_000).status == 400


@pytest.mark.parametrize("origin", ["http://[", "["])
def test_an_origin_that_is_none_is_foreign(leveret: Leveret, origin: str) -> None:
    assert Api(leveret)("GET", "/whoami", headers={"Origin": origin}).status == 403
