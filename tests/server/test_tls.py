"""The TLS listener's own behaviour: mistakes in its files, deadlines, stopping. tests/conformance/test_tls has the rest."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from pika.credentials import ExternalCredentials

from brokers import Leveret
from certificates import Authority, ServerTls
from leveret.server.certificate import distinguished_name, escaped, user_name
from leveret.server.config import Config


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


class Impatient(Leveret):
    """A client has one second for both handshakes together."""

    extra = ("--set", "limits.handshake_s=1", "--set", "limits.close_s=1")

    def command(self) -> list[str]:
        return [*super().command(), *self.extra]


@pytest.fixture
def broker(authority: Authority) -> Iterator[Leveret]:
    own = Impatient(management=False, tls=ServerTls(authority, login_from="common_name"))
    own.start()
    yield own
    own.remove()


def seconds_until_end(sock: socket.socket, begun: float) -> float:
    sock.settimeout(20)
    try:
        while sock.recv(4096):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    return time.monotonic() - begun


def test_both_handshakes_together_have_one_deadline(broker: Leveret, authority: Authority) -> None:
    begun = time.monotonic()
    silent = socket.create_connection(("127.0.0.1", broker.tls_port))
    plain = socket.create_connection(("127.0.0.1", broker.tls_port))
    late = authority.context().wrap_socket(
        socket.create_connection(("127.0.0.1", broker.tls_port)), server_hostname="localhost"
    )
    with silent, plain, late:
        for waiting in (silent, late):
            assert 0.5 < seconds_until_end(waiting, begun) < 5
        plain.sendall(b"AMQP\0\0\x09\x01")
        seconds_until_end(plain, begun)
    while "TLS with 127.0.0.1:" not in broker.output():  # written a moment after the socket is closed
        assert time.monotonic() - begun < 20
    assert "Traceback" not in broker.output()


def test_the_rest_is_undisturbed_by_octets_that_are_not_tls(broker: Leveret, authority: Authority) -> None:
    for octets in (b"GET / HTTP/1.0\r\n\r\n", bytes(1000), b"\x16\x03\x01\xff\xff" + bytes(100), b""):
        with socket.create_connection(("127.0.0.1", broker.tls_port)) as stranger:
            stranger.sendall(octets)
            stranger.shutdown(socket.SHUT_WR)
            seconds_until_end(stranger, 0)
    options = pika.SSLOptions(authority.context(), "localhost")
    with broker.connect(port=broker.tls_port, ssl_options=options) as connection:
        assert connection.is_open
    assert "Traceback" not in broker.output()


def test_the_broker_stops_while_handshakes_are_under_way(broker: Leveret, authority: Authority) -> None:
    options = pika.SSLOptions(authority.context(), "localhost")
    open_connection = broker.connect(port=broker.tls_port, ssl_options=options)
    with socket.create_connection(("127.0.0.1", broker.tls_port)):
        process = broker.process
        assert process is not None
        process.terminate()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
            while True:
                open_connection.process_data_events(time_limit=10)
        assert closed.value.reply_code == 320
        assert process.wait(60) == 0


class OnlyNewest(Leveret):
    def command(self) -> list[str]:
        return [*super().command(), "--set", "ssl_options.versions=tlsv1.3", "--no-tcp", "--tls-fail-if-no-peer-cert"]

    def start(self) -> None:
        self.port = self.tls_port
        super().start()


def test_versions_and_certificates_that_are_required(authority: Authority) -> None:
    own = OnlyNewest(management=False, tls=ServerTls(authority, login_from="subject_alternative_name"))
    try:
        own.start()
        guest = authority.client("named", "guest")
        old = authority.context(guest)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        for context in (old, authority.context()):
            with pytest.raises((pika.exceptions.AMQPError, OSError)):
                own.connect(ssl_options=pika.SSLOptions(context, "localhost"))
        options = pika.SSLOptions(authority.context(guest), "localhost")
        with own.connect(ssl_options=options, credentials=ExternalCredentials()) as connection:
            assert connection.is_open
    finally:
        own.remove()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "tls_port (--tls-port) needs ssl_options.certfile (--tls-cert)"),
        ({"--tls-cert": "nowhere.pem"}, "ssl_options.certfile nowhere.pem: cannot be read: No such file"),
        ({"--tls-cert": "garbage", "--tls-key": "key"}, "garbage: no certificate, PEM"),
        ({"--tls-cert": "certificate", "--tls-key": "nowhere.key"}, "ssl_options.keyfile nowhere.key: cannot be read"),
        ({"--tls-cert": "certificate", "--tls-key": "garbage"}, "garbage: no private key, PEM"),
        ({"--tls-cert": "certificate", "--tls-key": "other"}, "is not the key of the certificate in"),
        ({"--tls-cert": "certificate"}, "no private key, PEM"),
        ({"--tls-cert": "certificate", "--tls-key": "locked"}, "ssl_options.password is not that of the key"),
        ({"--tls-cert": "certificate", "--tls-key": "key", "--tls-ca": "garbage"}, "garbage: no certificates, PEM"),
        ({"--tls-cert": "certificate", "--tls-key": "key", "--tls-verify": "peer"}, "needs ssl_options.cacertfile"),
        ({"--tls-cert": "certificate", "--tls-key": "key", "--tls-verify": "perhaps"}, "verify_none or verify_peer"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    authority: Authority, tmp_path: Path, options: dict[str, str], says: str
) -> None:
    (tmp_path / "garbage").write_text("garbage")
    files = {
        "certificate": authority.certificate,
        "key": authority.key,
        "garbage": tmp_path / "garbage",
        "other": authority.client("other")[1],
        "locked": locked(authority, tmp_path),
    }
    arguments = [word for name, value in options.items() for word in (name, str(files.get(value, value)))]
    command = [sys.executable, "-m", "leveret", "broker", "--memory", "--no-management", "--port", "0"]
    ended = subprocess.run(
        [*command, "--tls-port", "0", *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1), ended.stderr
    assert says in ended.stderr


def locked(authority: Authority, place: Path) -> Path:
    """The server's key, encrypted."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(authority.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (place / "locked").write_bytes(encrypted)
    return place / "locked"


def test_a_key_with_its_password_is_used(authority: Authority, tmp_path: Path) -> None:
    class Locked(Leveret):
        def command(self) -> list[str]:
            key = str(locked(authority, tmp_path))
            return [*super().command(), "--tls-key", key, "--set", "ssl_options.password=secret"]

    own = Locked(management=False, tls=ServerTls(authority))
    try:
        own.start()
        options = pika.SSLOptions(authority.context(), "localhost")
        with own.connect(port=own.tls_port, ssl_options=options) as connection:
            assert connection.is_open
    finally:
        own.remove()


CERTIFICATE: dict[str, Any] = {
    "subject": (
        (("countryName", "DE"),),
        (("organizationName", "Acme"), ("organizationalUnitName", "Carrots")),
        (("domainComponent", "example"),),
        (("commonName", "one"),),
        (("commonName", "two"),),
    ),
    "subjectAltName": (("DNS", "a.example"), ("email", "a@example"), ("DNS", "b.example"), ("IP Address", "10.0.0.1")),
}


def test_a_distinguished_name_is_written_last_part_first() -> None:
    assert distinguished_name(CERTIFICATE["subject"]) == "CN=two,CN=one,DC=example,O=Acme+OU=Carrots,C=DE"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a,b+c", "a\\,b\\+c"),
        (" both ", "\\ both\\ "),
        ("#1#", "\\#1#"),
        ('"<>;\\', '\\"\\<\\>\\;\\\\'),
        ("tab\tü~", "tab\\09\\C3\\BC\\7E"),
        ("", ""),
    ],
)
def test_special_characters_of_a_name_are_escaped(value: str, written: str) -> None:
    assert escaped(value) == written


@pytest.mark.parametrize(
    ("login_from", "kind", "index", "user"),
    [
        ("distinguished_name", "dns", 0, "CN=two,CN=one,DC=example,O=Acme+OU=Carrots,C=DE"),
        ("common_name", "dns", 0, "one,two"),
        ("subject_alternative_name", "dns", 1, "b.example"),
        ("subject_alternative_name", "email", 0, "a@example"),
        ("subject_alternative_name", "ip", 0, "10.0.0.1"),
        ("subject_alternative_name", "dns", 2, None),
        ("subject_alternative_name", "uri", 0, None),
    ],
)
def test_the_user_is_the_part_of_the_certificate_that_is_asked_for(
    login_from: str, kind: str, index: int, user: str | None
) -> None:
    config = Config(ssl_cert_login_from=login_from, ssl_cert_login_san_type=kind, ssl_cert_login_san_index=index)
    assert user_name(CERTIFICATE, config) == user
