"""From nothing to an open connection: socket, start, tune, open (AMQP 0-9-1 section 2.2.4).

Called by client/connection, for the first connection and for each that replaces a lost one.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from typing import Final, TypeVar

from leveret import __version__
from leveret.client.transport import Link
from leveret.client.url import Endpoint, Target
from leveret.client.waiting import ConnectionClosed, bounded
from leveret.errors import ClientError, ConnectionLost
from leveret.wire.methods import (
    ConnectionOpen,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)

FRAME_BYTES_MAX: Final = 131_072
CHANNELS_MAX: Final = 65_535
CAPABILITIES: Final[dict[str, object]] = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


L = TypeVar("L", bound=Link)
Make = Callable[[asyncio.AbstractEventLoop], L]


async def open_link(target: Target, name: str | None, heartbeat_s: int, timeout_s: float, make: Make[L]) -> L:
    """A link to the first endpoint that lets us in; each has `timeout_s`. `make` is its class.

    Raises the first refusal of a broker, or else what the last endpoint said.
    """
    errors: list[Exception] = []
    for endpoint in target.endpoints:
        try:
            return await _try(endpoint, target, name, heartbeat_s, timeout_s, make)
        except (OSError, UnicodeError, ClientError) as error:  # UnicodeError: a host that can be no host's name
            errors.append(error)
    reason = next((one for one in errors if isinstance(one, ConnectionClosed)), errors[-1])
    if isinstance(reason, ClientError):
        raise reason
    raise ConnectionLost(f"cannot connect to {target}: {reason}") from reason


async def _try(
    endpoint: Endpoint, target: Target, name: str | None, heartbeat_s: int, timeout_s: float, make: Make[L]
) -> L:
    loop = asyncio.get_running_loop()
    link = make(loop)
    try:
        await bounded(_shake(link, endpoint, target, name, heartbeat_s), timeout_s, f"a connection to {endpoint}")
    except BaseException as error:
        link.end(ConnectionLost(f"the connection was given up while it was opened: {error}"))
        raise
    return link


async def _shake(link: Link, endpoint: Endpoint, target: Target, name: str | None, heartbeat_s: int) -> None:
    start = link.replies.expect("connection.start")
    await _connect(link, endpoint, target)
    method = (await start).method
    assert isinstance(method, ConnectionStart)
    link.server_properties = dict(method.server_properties)
    if target.mechanism.encode() not in method.mechanisms.split():
        raise ClientError(f"{endpoint} offers {method.mechanisms.decode()} to log in with, not {target.mechanism}")
    secret = b"" if target.mechanism == "EXTERNAL" else f"\0{target.user}\0{target.password}".encode()
    tune = link.replies.expect("connection.tune")
    link.send(0, ConnectionStartOk(client_properties(name), target.mechanism, secret, "en_US"))
    method = (await tune).method
    assert isinstance(method, ConnectionTune)
    interval_s = _tune(link, method, heartbeat_s)
    opened = link.replies.expect("connection.open-ok")
    link.send(0, ConnectionOpen(target.vhost))
    await opened
    if interval_s:
        link.start_heartbeat(interval_s)


async def _connect(link: Link, endpoint: Endpoint, target: Target) -> None:
    if endpoint.path:
        await link.loop.create_unix_connection(lambda: link, endpoint.path)
    else:
        context = target.tls.context() if target.tls else None
        await link.loop.create_connection(lambda: link, endpoint.host, endpoint.port, ssl=context)


def _tune(link: Link, offered: ConnectionTune, heartbeat_s: int) -> int:
    """Agree on the limits: the lower of both sides, 0 being none. The heartbeat interval, 0 if it is off."""
    channel_max = offered.channel_max or CHANNELS_MAX
    frame_max = min(offered.frame_max or FRAME_BYTES_MAX, FRAME_BYTES_MAX)
    interval_s = min(heartbeat_s, offered.heartbeat or heartbeat_s)
    link.send(0, ConnectionTuneOk(channel_max, frame_max, interval_s))
    link.machine.tune(channel_max, frame_max)
    link.channel_max = channel_max
    return interval_s


def client_properties(name: str | None) -> dict[str, object]:
    """What the broker shows of us in its listings."""
    properties: dict[str, object] = {
        "product": "Leveret",
        "version": __version__,
        "platform": f"{platform.python_implementation()} {platform.python_version()}",
        "capabilities": CAPABILITIES,
    }
    if name:
        properties["connection_name"] = name
    return properties
