"""Who gets in, how, and what whoever is not let in can do; without a browser where none is needed."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from dashboard.conftest import Sight
from dashboard.place import Place


def ask(
    place: Place, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Status, what was answered, and its headers; as a program would ask that is no browser."""
    connection = http.client.HTTPConnection(urlsplit(place.url).netloc, timeout=30)
    sent = None if body is None else json.dumps(body)
    connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    text = answer.read()
    told = json.loads(text) if answer.headers.get_content_type() == "application/json" else text
    connection.close()
    return answer.status, told, dict(answer.headers)


def signed_in(place: Place, user: str = "guest", password: str = "guest") -> dict[str, str]:
    """Headers of a session's requests."""
    own = {"Origin": place.url}
    status, told, headers = ask(place, "POST", "/ui/login", {"user": user, "password": password}, own)
    assert status == 200, told
    return {**own, "Cookie": headers["set-cookie"].partition(";")[0]}


def test_the_cookie_is_for_this_site_and_no_script(place: Place) -> None:
    _, _, headers = ask(place, "POST", "/ui/login", {"user": "guest", "password": "guest"}, {"Origin": place.url})
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert cookie.startswith(f"leveret_{urlsplit(place.url).port}=")


def test_a_wrong_password_opens_nothing(place: Place) -> None:
    status, told, headers = ask(place, "POST", "/ui/login", {"user": "guest", "password": "?"}, {"Origin": place.url})
    assert status == 401 and "wrong" in told["reason"] and "set-cookie" not in headers


def test_nothing_is_told_to_whoever_is_not_signed_in(place: Place) -> None:
    for path in ("overview", "queues", "queues/%2F/x", "unacked", "stream?topic=overview", "series"):
        assert ask(place, "GET", f"/ui/{path}")[0] == 401
    assert ask(place, "POST", "/ui/queues/%2F/x/purge", {"confirm": "x"}, {"Origin": place.url})[0] == 401


def test_another_site_can_neither_sign_in_nor_change_anything(place: Place) -> None:
    place.fill("mine", b"1")
    session = signed_in(place)
    for other in (
        {"Origin": "http://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        headers = {"Cookie": session["Cookie"], **other}
        assert ask(place, "POST", "/ui/queues/%2F/mine/purge", {"confirm": "mine"}, headers)[0] == 403
        assert ask(place, "POST", "/ui/login", {"user": "guest", "password": "guest"}, other)[0] == 403
    form = {**session, "Content-Type": "text/plain"}
    assert ask(place, "POST", "/ui/queues/%2F/mine/purge", {"confirm": "mine"}, form)[0] == 415
    nobody = {"Cookie": session["Cookie"]}
    assert ask(place, "POST", "/ui/queues/%2F/mine/purge", {"confirm": "mine"}, nobody)[0] == 403
    assert ask(place, "GET", "/ui/queues/%2F/mine/purge", None, session)[0] == 405
    assert place.ready("mine") == 1


def test_every_answer_says_what_browsers_may_do_with_it(place: Place) -> None:
    for path in ("/", "/assets/app.js", "/ui/me", "/ui/nothing"):
        headers = ask(place, "GET", path)[2]
        assert (
            "default-src 'self'" in headers["content-security-policy"]
            and "unsafe" not in headers["content-security-policy"]
        )
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "lib", "", ".hidden", "nothing.js"])
def test_only_the_files_of_the_page_are_served(place: Place, name: str) -> None:
    assert ask(place, "GET", f"/assets/{name}")[0] == 404


def test_after_signing_out_the_cookie_opens_nothing(place: Place) -> None:
    session = signed_in(place)
    assert ask(place, "GET", "/ui/queues", None, session)[0] == 200
    assert ask(place, "POST", "/ui/logout", {}, session)[0] == 200
    assert ask(place, "GET", "/ui/queues", None, session)[0] == 401


def test_guest_is_invited_on_this_machine_only_while_its_password_is_the_first(place: Place) -> None:
    told = ask(place, "GET", "/ui/me")[1]
    assert told == {"user": None, "guest": place.broker.kind == "leveret"}
    # As by a page whose name was pointed at this machine: guest is nobody then.
    for name in ("rebound.example", "re_bound.example"):
        assert ask(place, "GET", "/ui/me", None, {"Host": name})[1]["guest"] is False


def test_guest_does_not_get_in_under_a_name_that_is_not_this_machine(place: Place) -> None:
    if place.broker.kind != "leveret":
        pytest.skip("there the broker decides who is guest")
    strange = {"Host": "rebound.example", "Origin": "http://rebound.example"}
    assert ask(place, "POST", "/ui/login", {"user": "guest", "password": "guest"}, strange)[0] == 401


def test_signing_in_and_out_by_hand(look: Sight, place: Place) -> None:
    page = look(user=None)
    page.get_by_label("User").fill("guest")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("wrong").wait_for()
    page.get_by_label("Password").fill("guest")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in to Leveret").wait_for()


def test_the_word_in_the_printed_address_signs_in_once(look: Sight, place: Place) -> None:
    if not place.word_url:
        pytest.skip("only `leveret dashboard` prints one")
    path = place.word_url.removeprefix(place.url)
    page = look(path, user=None)
    page.get_by_role("heading", name="Overview").wait_for()
    assert "in/" not in page.url
    again = look(path, user=None)
    again.get_by_role("heading", name="Sign in to Leveret").wait_for()


def test_who_may_only_look_sees_no_buttons_that_change_anything(look: Sight, place: Place) -> None:
    place.api.ask("PUT", "/api/users/looker", {"password": "looker", "tags": "monitoring"})
    place.api.ask("PUT", "/api/permissions/%2F/looker", {"configure": "^$", "write": "^$", "read": ".*"})
    place.fill("to.look.at", b"1")
    page = look("/#/queues/%2F/to.look.at", user="looker", password="looker")
    page.get_by_role("heading", name="to.look.at").wait_for()
    page.get_by_text("may only look").wait_for()
    page.get_by_text("Nobody takes from this queue").wait_for()
    for verb in ("Publish…", "Pause", "Move…", "Purge…"):
        assert page.get_by_role("button", name=verb).count() == 0
    headers = signed_in(place, "looker", "looker")
    status, told, _ = ask(place, "POST", "/ui/queues/%2F/to.look.at/publish", {"payload": "x"}, headers)
    assert status in (401, 403, 400) and told["reason"]
    assert place.ready("to.look.at") == 1


def test_a_user_sees_only_the_virtual_hosts_that_it_may(place: Place) -> None:
    place.api.ask("PUT", "/api/vhosts/secret", {})
    place.api.ask("PUT", "/api/permissions/secret/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    place.api.ask("PUT", "/api/queues/secret/hidden", {"durable": True})
    place.api.ask("PUT", "/api/users/clerk", {"password": "clerk", "tags": "management"})
    place.api.ask("PUT", "/api/permissions/%2F/clerk", {"configure": ".*", "write": ".*", "read": ".*"})
    headers = signed_in(place, "clerk", "clerk")
    told = ask(place, "GET", "/ui/queues?page_size=500", None, headers)[1]
    assert "secret" not in told["vhosts"] and not any(row["vhost"] == "secret" for row in told["items"])
    assert ask(place, "GET", "/ui/queues/secret/hidden", None, headers)[0] in (401, 403, 404)
    assert ask(place, "GET", "/ui/series?of=queue/secret/hidden", None, headers)[0] == 404


def test_a_user_without_the_tag_management_is_told_so(place: Place) -> None:
    place.api.ask("PUT", "/api/users/program", {"password": "program", "tags": ""})
    body = {"user": "program", "password": "program"}
    assert ask(place, "POST", "/ui/login", body, {"Origin": place.url})[0] == 401


def test_a_new_password_signs_out_whoever_came_in_with_the_old_one(place: Place) -> None:
    place.api.ask("PUT", "/api/users/robbed", {"password": "old", "tags": "monitoring"})
    session = signed_in(place, "robbed", "old")
    assert ask(place, "GET", "/ui/queues", None, session)[0] == 200
    place.api.ask("PUT", "/api/users/robbed", {"password": "new", "tags": "monitoring"})
    assert ends(place, session)


def test_who_is_removed_and_made_anew_has_to_sign_in_again(place: Place) -> None:
    place.api.ask("PUT", "/api/users/gone", {"password": "one", "tags": "monitoring"})
    session = signed_in(place, "gone", "one")
    place.api.ask("DELETE", "/api/users/gone")
    place.api.ask("PUT", "/api/users/gone", {"password": "two", "tags": "monitoring"})
    assert ends(place, session)


def ends(place: Place, session: dict[str, str]) -> bool:
    """At once where the broker is, else when it is asked next, which is after ten seconds at most."""
    deadline = time.monotonic() + 60
    while ask(place, "GET", "/ui/queues", None, session)[0] != 401:
        if time.monotonic() > deadline:
            return False
    return True
