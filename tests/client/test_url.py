"""What may stand in a broker's URL, and what is said about one that is wrong."""

from __future__ import annotations

import pytest

from leveret.client.url import TLS, Endpoint, parse_url
from leveret.errors import ClientError


def test_everything_has_a_default() -> None:
    target = parse_url("amqp://")
    assert target.endpoints == (Endpoint("localhost", 5672),)
    assert (target.user, target.password, target.vhost) == ("guest", "guest", "/")
    assert target.tls is None and target.heartbeat_s is None and target.timeout_s is None


@pytest.mark.parametrize(
    ("path", "vhost"), [("", "/"), ("/", "/"), ("/%2F", "/"), ("/mail", "mail"), ("/a%2Fb", "a/b"), ("/%C3%A9", "é")]
)
def test_the_path_names_the_vhost(path: str, vhost: str) -> None:
    assert parse_url(f"amqp://host{path}").vhost == vhost


def test_user_and_password_are_percent_decoded() -> None:
    target = parse_url("amqp://m%40x:p%3A%2F%3Fq@host")
    assert (target.user, target.password) == ("m@x", "p:/?q")


def test_several_hosts_are_tried_in_their_order() -> None:
    target = parse_url("amqp://u:p@one,two:5673,[::1]:5674/v?heartbeat=7")
    assert target.endpoints == (Endpoint("one", 5672), Endpoint("two", 5673), Endpoint("::1", 5674))
    assert target.heartbeat_s == 7 and target.vhost == "v"


def test_tls_has_a_port_and_files_of_its_own() -> None:
    target = parse_url("amqps://host?cafile=ca.pem&certfile=c.pem&keyfile=k.pem&verify=0")
    assert target.endpoints == (Endpoint("host", 5671),)
    assert target.tls == TLS("ca.pem", "c.pem", "k.pem", verify=False)


def test_tls_checks_the_certificate_unless_told_not_to() -> None:
    tls = parse_url("amqps://host").tls
    assert tls is not None and tls.verify
    assert tls.context().check_hostname


def test_a_unix_socket_is_given_by_its_path() -> None:
    target = parse_url("amqp+unix:///run/my%20broker.sock?vhost=mail&name=me&timeout=2.5")
    assert target.endpoints == (Endpoint(path="/run/my broker.sock"),)
    assert (target.vhost, target.name, target.timeout_s) == ("mail", "me", 2.5)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://host", "begins with amqp://"),
        ("host:5672", "begins with amqp://"),
        ("amqp://host:port", "'port' is no port"),
        ("amqp://host:0", "'0' is no port"),
        ("amqp://host:70000", "'70000' is no port"),
        ("amqp://[::1:5672", "IPv6"),
        ("amqp://host/a/b", "%2F"),
        ("amqp://host?heartbeat=soon", "heartbeat=soon"),
        ("amqp://host?heartbeat=-1", "heartbeat=-1"),
        ("amqp://host?timeout=0", "timeout=0"),
        ("amqp://host?timeout=nan", "timeout=nan"),
        ("amqp://host?colour=red", "knows no colour="),
        ("amqp://host?heartbeat", "no query"),
        ("amqp://host?vhost=x", "amqp+unix"),
        ("amqp://host?cafile=x", "amqps://"),
        ("amqps://host?verify=maybe", "verify=maybe"),
        ("amqp+unix://run/x.sock", "three slashes"),
        ("amqp+unix://", "three slashes"),
    ],
)
def test_a_bad_url_is_refused_with_what_was_expected(url: str, says: str) -> None:
    with pytest.raises(ClientError, match=says.replace("+", r"\+").replace("?", r"\?")):
        parse_url(url)


def test_no_message_repeats_the_password() -> None:
    with pytest.raises(ClientError) as caught:
        parse_url("amqp://user:secret@host:x/")
    assert "secret" not in str(caught.value)
    assert "secret" not in str(parse_url("amqp://user:secret@host/"))


@pytest.mark.parametrize(
    "url", ["amqp://u:a?secret@h/", "amqp://u:a/secret@h/", "amqp://u:secret/b@h/", "amqp://u:a?secret=b@h"]
)
def test_a_password_that_was_not_escaped_is_not_repeated_either(url: str) -> None:
    with pytest.raises(ClientError, match="%2F or %3F") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_an_at_sign_elsewhere_is_welcome() -> None:
    target = parse_url("amqp://u:p@host/mail@home?name=me@here")
    assert (target.vhost, target.name) == ("mail@home", "me@here")


@pytest.mark.parametrize("url", ["amqp://host:DIGITS", "amqp://host?heartbeat=DIGITS"])
def test_a_number_of_thousands_of_digits_is_just_a_wrong_one(url: str) -> None:
    with pytest.raises(ClientError, match="expected"):
        parse_url(url.replace("DIGITS", "1" * 5000))


def test_a_certificate_that_cannot_be_read_is_named_as_the_trouble() -> None:
    tls = parse_url("amqps://host?cafile=/nowhere/ca.pem").tls
    assert tls is not None
    with pytest.raises(ClientError, match="certificate"):
        tls.context()
