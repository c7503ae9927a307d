"""What strangers send: it is refused with a reason, and is never an error of ours."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from dashboard.place import Place
from dashboard.test_signing_in import ask, signed_in
from leveret.dashboard.ask import Refused, refusal
from leveret.dashboard.sessions import ATTEMPTS_MAX, STREAMS_MAX, Sessions
from leveret.errors import Declined

GUEST = {"user": "guest", "password": "guest"}


@pytest.mark.parametrize("path", ["queues?page=", "timeline?since=", "tasks?limit="])
def test_a_number_of_very_many_digits_is_refused(place: Place, path: str) -> None:
    assert ask(place, "GET", f"/ui/{path}{'9' * 5000}", None, signed_in(place))[0] == 400


@pytest.mark.parametrize("properties", ["text", [1], 5])
def test_properties_that_are_no_object_are_refused(place: Place, properties: Any) -> None:
    body = {"payload": "x", "properties": properties}
    place.fill("of.strangers")
    assert ask(place, "POST", "/ui/queues/%2F/of.strangers/publish", body, signed_in(place))[0] == 400


@pytest.mark.parametrize("origin", ["http://[", "[", "null", "http://a:b"])
def test_an_origin_that_is_none_is_foreign(place: Place, origin: str) -> None:
    assert ask(place, "POST", "/ui/login", GUEST, {"Origin": origin})[0] == 403


def test_little_is_read_of_whoever_is_not_signed_in(place: Place) -> None:
    body = {**GUEST, "more": "x" * 100_000}
    assert ask(place, "POST", "/ui/login", body, {"Origin": place.url})[0] == 413


def test_what_is_nested_very_deeply_is_refused(place: Place) -> None:
    connection = http.client.HTTPConnection(urlsplit(place.url).netloc, timeout=30)
    text = '{"payload":' + "[" * 50_000
    connection.request(
        "POST", "/ui/queues/%2F/x/publish", text, {"Content-Type": "application/json", **signed_in(place)}
    )
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize("host", ["[::1", "[zz]:1", "a:b"])
def test_a_host_that_is_none_is_refused(place: Place, host: str) -> None:
    assert ask(place, "GET", "/ui/me", None, {"Host": host})[0] == 400


def test_there_is_no_file_of_a_very_long_name(place: Place) -> None:
    assert ask(place, "GET", f"/assets/{'x' * 300}")[0] == 404


def test_a_session_follows_so_many_pages_at_once_and_no_more(place: Place) -> None:
    signed = signed_in(place)
    with ExitStack() as open_pages:
        for _ in range(STREAMS_MAX):
            page = http.client.HTTPConnection(urlsplit(place.url).netloc, timeout=30)
            open_pages.callback(page.close)
            page.request("GET", "/ui/stream?topic=overview", headers=signed)
            assert page.getresponse().read(1)
        assert ask(place, "GET", "/ui/stream?topic=overview", None, signed)[0] == 429
        status, told, _ = ask(place, "GET", "/ui/overview", None, signed)
        assert status == 200, told


def test_an_address_tries_so_many_passwords_at_once_and_no_more() -> None:
    source: Any = None
    sessions = Sessions(source, time.time)
    with ExitStack() as guesses:
        for _ in range(ATTEMPTS_MAX):
            guesses.enter_context(sessions.attempt("10.0.0.1"))
        with sessions.attempt("10.0.0.2"):
            pass
        with pytest.raises(Refused) as refused, sessions.attempt("10.0.0.1"):
            pass
        assert refused.value.status == 429
    with sessions.attempt("10.0.0.1"):
        pass


def test_what_the_broker_does_not_let_a_user_do_is_no_reason_to_ask_who_it_is() -> None:
    """401 stands for nobody being signed in: the page would show the form."""
    assert refusal(Declined("the broker", 401, "User not authorised")).status == 403
    assert refusal(Declined("the broker", 404, "Not Found")).status == 404
    assert refusal(Declined("the broker", 500, "no")).status == 502


PATIENT = """
import sys
from leveret.dashboard.run import Place, run
from leveret.management.visitor import Patience

url, management = sys.argv[1:]
run(Place(url, management, "127.0.0.1", 0, None, Patience(connections_max=2, request_s=0.4)), lambda said: print(said, flush=True))
"""


def test_a_dashboard_of_its_own_cuts_off_who_is_slow_and_has_room_for_so_many(place: Place) -> None:
    command = [sys.executable, "-c", PATIENT, place.broker.url, place.broker.management_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dashboard:
        assert dashboard.stdout is not None
        where = urlsplit(dashboard.stdout.readline())
        try:
            links = [socket.create_connection((where.hostname, where.port), 60) for _ in range(2)]
            links[0].sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")  # and no more
            with socket.create_connection((where.hostname, where.port), 60) as third:
                assert third.recv(1) == b""
            for link in links:
                with link:
                    assert link.recv(1) == b""
            with socket.create_connection((where.hostname, where.port), 60) as link:
                link.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                assert link.recv(12) == b"HTTP/1.1 200"
        finally:
            dashboard.terminate()
