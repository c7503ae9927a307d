"""amqps: the client over TLS, through a proxy that ends it before a broker of either kind."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from brokers import Broker
from client.proxy import Proxy
from client.support import run
from leveret.client import connect
from leveret.errors import LeveretError


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """A certificate authority and the file that holds its certificate."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made, tmp_path / "ca.pem"


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def amqps(proxy: Proxy, query: str) -> str:
    return proxy.url.replace("amqp://", "amqps://") + "?" + query


def test_a_trusted_broker_is_spoken_to(broker: Broker, name: str, authority: tuple[trustme.CA, Path]) -> None:
    async def main() -> None:
        context = server_context(authority[0], "127.0.0.1")
        async with (
            Proxy(broker.port, context) as proxy,
            await connect(amqps(proxy, f"cafile={authority[1]}")) as connection,
        ):
            channel = await connection.channel(confirms=True)
            await channel.queue_declare(name, exclusive=True)
            await channel.publish(bytes(500_000), routing_key=name, mandatory=True)
            delivery = await channel.get(name)
            assert delivery is not None and len(delivery.body) == 500_000

    run(main())


@pytest.mark.parametrize("certificate", ["127.0.0.1", "other.example"])
def test_a_broker_that_is_not_trusted_is_not(
    broker: Broker, authority: tuple[trustme.CA, Path], certificate: str
) -> None:
    """Neither one whose authority is unknown, nor one with another's name."""

    async def main() -> None:
        async with Proxy(broker.port, server_context(authority[0], certificate)) as proxy:
            query = "" if certificate == "127.0.0.1" else f"cafile={authority[1]}"
            with pytest.raises(LeveretError):
                await connect(amqps(proxy, query))

    run(main())
