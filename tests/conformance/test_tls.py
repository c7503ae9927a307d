"""TLS and SASL EXTERNAL: https://www.rabbitmq.com/docs/ssl and the plugin rabbitmq_auth_mechanism_ssl."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pika.exceptions
import pytest
from pika.credentials import ExternalCredentials

from brokers import Broker
from certificates import Authority, ServerTls
from leveret.client import connect
from leveret.errors import LeveretError

SUBJECT = {"organization_name": 'Hase, Igel & "Söhne"~ ', "organization_unit_name": "#a+b;<c>\\"}
DISTINGUISHED = 'CN=guest,OU=\\#a\\+b\\;\\<c\\>\\\\,O=Hase\\, Igel & \\"S\\C3\\B6hne\\"\\7E\\ '


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def tls_broker(broker_kind: type[Broker], authority: Authority) -> Iterator[Broker]:
    """Asks for certificates, and takes the user's name from their common name."""
    own = broker_kind(tls=ServerTls(authority, login_from="common_name"))
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture(scope="module")
def guest(authority: Authority) -> tuple[Path, Path]:
    return authority.client("guest", common_name="guest", **SUBJECT)


def secure(broker: Broker, context: ssl.SSLContext, **overrides: Any) -> pika.BlockingConnection:
    return broker.connect(port=broker.tls_port, ssl_options=pika.SSLOptions(context, "localhost"), **overrides)


def amqps(broker: Broker, authority: Authority, certificate: tuple[Path, Path] | None, query: str = "") -> str:
    own = "" if certificate is None else f"&certfile={certificate[0]}&keyfile={certificate[1]}"
    return f"amqps://guest:guest@127.0.0.1:{broker.tls_port}/?cafile={authority.ca}{own}{query}"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_messages_pass_encrypted(tls_broker: Broker, authority: Authority, name: str, version: ssl.TLSVersion) -> None:
    context = authority.context()
    context.maximum_version = context.minimum_version = version
    with secure(tls_broker, context) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(name, exclusive=True)
        body = bytes(range(256)) * 4096
        channel.basic_publish("", name, body, mandatory=True)
        assert channel.basic_get(name, auto_ack=True)[2] == body


def test_our_client_speaks_tls_and_logs_in_with_its_certificate(
    tls_broker: Broker, authority: Authority, guest: tuple[Path, Path], name: str
) -> None:
    async def main() -> None:
        async with await connect(amqps(tls_broker, authority, guest, "&auth_mechanism=external")) as connection:
            channel = await connection.channel(confirms=True)
            await channel.queue_declare(name, exclusive=True)
            await channel.publish(bytes(500_000), routing_key=name, mandatory=True)
            delivery = await channel.get(name)
            assert delivery is not None and len(delivery.body) == 500_000

    asyncio.run(main())


def test_external_takes_the_user_from_the_certificate(
    tls_broker: Broker, authority: Authority, guest: tuple[Path, Path]
) -> None:
    with secure(tls_broker, authority.context(guest), credentials=ExternalCredentials()) as connection:
        assert connection.is_open


def test_by_default_the_user_is_the_distinguished_name(broker_kind: type[Broker], authority: Authority) -> None:
    """The user's password does not matter, its permissions do."""
    own = broker_kind(tls=ServerTls(authority, fail_if_no_peer_cert=True))
    try:
        own.start()
        url = f"http://127.0.0.1:{own.management_port}/api"
        place = quote(DISTINGUISHED, safe="")
        ask(f"{url}/users/{place}", {"password_hash": "", "tags": ""})
        certificate = authority.context(authority.client("named", common_name="guest", **SUBJECT))
        with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
            secure(own, certificate, credentials=ExternalCredentials())
        ask(f"{url}/permissions/%2F/{place}", {"configure": ".*", "write": ".*", "read": ".*"})
        with secure(own, certificate, credentials=ExternalCredentials()) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            properties = pika.BasicProperties(user_id=DISTINGUISHED)
            channel.confirm_delivery()
            channel.basic_publish("", queue, b"mine", properties, mandatory=True)
        with pytest.raises((pika.exceptions.AMQPError, OSError)):
            secure(own, authority.context())
    finally:
        own.remove()


def ask(url: str, body: dict[str, str]) -> None:
    token = base64.b64encode(b"guest:guest").decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201


def test_external_refuses_a_certificate_of_no_user(tls_broker: Broker, authority: Authority) -> None:
    nobody = authority.client("nobody", common_name="nobody")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as refused:
        secure(tls_broker, authority.context(nobody), credentials=ExternalCredentials())
    text = "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. "
    assert f"(403) '{text}For details see the broker logfile.'" in str(refused.value)


def test_external_is_not_offered_in_the_clear(tls_broker: Broker) -> None:
    with pytest.raises(pika.exceptions.AuthenticationError):
        tls_broker.connect(credentials=ExternalCredentials())


@pytest.mark.not_on_rabbitmq("it offers EXTERNAL on every TLS connection and then refuses the login")
def test_external_is_not_offered_without_a_certificate(tls_broker: Broker, authority: Authority) -> None:
    with pytest.raises(pika.exceptions.AuthenticationError):
        secure(tls_broker, authority.context(), credentials=ExternalCredentials())


def test_a_password_still_counts_beside_a_certificate(
    tls_broker: Broker, authority: Authority, guest: tuple[Path, Path]
) -> None:
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        wrong = pika.PlainCredentials("guest", "wrong")
        secure(tls_broker, authority.context(guest), credentials=wrong)


def test_a_certificate_of_another_authority_is_refused(tls_broker: Broker, authority: Authority) -> None:
    stranger = Authority()
    try:
        foreign = stranger.client("foreign", common_name="guest")

        async def main() -> None:
            with pytest.raises(LeveretError):
                await connect(amqps(tls_broker, authority, foreign))

        asyncio.run(main())
    finally:
        stranger.remove()


def connections(broker: Broker) -> list[dict[str, Any]]:
    token = base64.b64encode(b"guest:guest").decode()
    url = f"http://127.0.0.1:{broker.management_port}/api/connections"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})) as answer:
        rows: list[dict[str, Any]] = json.load(answer)
    return [row for row in rows if "ssl" in row]


def test_management_tells_how_a_connection_is_secured(
    tls_broker: Broker, authority: Authority, guest: tuple[Path, Path]
) -> None:
    """RabbitMQ's statistics come some seconds late: asked until they are there; connections closed before may still be."""
    own_name = {"connection_name": "told"}
    with secure(tls_broker, authority.context(guest), heartbeat=0, client_properties=own_name) as connection:
        rows: list[dict[str, Any]] = []
        for _ in range(600):
            rows = [row for row in connections(tls_broker) if row.get("user_provided_name") == "told"]
            if rows:
                break
            connection.process_data_events(time_limit=0.05)
        (row,) = rows
    assert row["ssl"] is True and row["user"] == "guest"
    assert row["peer_cert_subject"] == DISTINGUISHED
    assert ",O=trustme" in row["peer_cert_issuer"]
    assert row["peer_cert_validity"].startswith("2000-01-01T00:00:00Z - ")
    encryption = ("ssl_protocol", "ssl_key_exchange", "ssl_cipher", "ssl_hash")
    assert tuple(row[name] for name in encryption) == ("tlsv1.3", "any", "aes_256_gcm", "aead")


@pytest.mark.not_on_rabbitmq("3.10 keeps what a consumer without acknowledgements does not read in its own memory")
def test_a_reader_that_stops_reading_is_not_written_to_for_ever(
    tls_broker: Broker, authority: Authority, name: str
) -> None:
    """Flow control reaches through TLS: messages stay in the queue while a consumer's socket is full."""
    count, size = 100, 500_000
    with secure(tls_broker, authority.context(), heartbeat=0) as publisher:
        reader = secure(tls_broker, authority.context(), heartbeat=0)
        consuming = reader.channel()
        consuming.queue_declare(name, auto_delete=False)
        taken: list[int] = []
        consuming.basic_consume(name, lambda _c, _d, _p, body: taken.append(len(body)), auto_ack=True)
        channel = publisher.channel()
        channel.confirm_delivery()
        for _ in range(count):
            channel.basic_publish("", name, bytes(size), mandatory=True)
        left = channel.queue_declare(name, passive=True).method.message_count
        assert left > count // 2
        while len(taken) < count:
            reader.process_data_events(time_limit=10)
        assert taken == [size] * count
        channel.queue_delete(name)
        reader.close()


def test_many_clients_at_once(tls_broker: Broker, authority: Authority) -> None:
    opened: list[bool] = []

    def open_one() -> None:
        with secure(tls_broker, authority.context()) as connection:
            opened.append(connection.is_open)

    threads = [threading.Thread(target=open_one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert opened == [True] * 20
