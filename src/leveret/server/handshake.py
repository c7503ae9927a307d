"""The connection's own methods: from the protocol header to open, and the end (AMQP 0-9-1 section 2.2.4).

Called by server/protocol through the session; every legal order of these methods stands in wire/machine.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from leveret import __version__
from leveret.errors import ConnectionError
from leveret.server.auth import MECHANISMS, Users, credentials
from leveret.wire import methods as m
from leveret.wire.spec import FRAME_MIN_SIZE

if TYPE_CHECKING:
    from leveret.server.config import Limits
    from leveret.server.session import Session

CAPABILITIES: dict[str, object] = dict.fromkeys(
    (
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "per_consumer_qos",
        "authentication_failure_close",
        "direct_reply_to",
    ),
    True,
)


def server_properties() -> dict[str, object]:
    return {
        "capabilities": CAPABILITIES,
        "cluster_name": f"leveret@{platform.node()}",
        "copyright": "The Leveret authors",
        "information": "Licensed under the Apache License 2.0.",
        "platform": f"Python {platform.python_version()}",
        "product": "Leveret",
        "version": __version__,
    }


class Handshake:
    """Answers the connection's methods for every session of a server."""

    def __init__(self, limits: Limits, users: Users) -> None:
        self._limits = limits
        self._users = users

    def start(self, session: Session) -> None:
        """The protocol header was ours."""
        start = m.ConnectionStart(
            version_major=0,
            version_minor=9,
            server_properties=server_properties(),
            mechanisms=" ".join(MECHANISMS).encode(),
            locales=b"en_US",
        )
        session.send(0, start)

    def call(self, session: Session, method: m.Method) -> None:
        """A method on channel 0; wire/machine has checked that it is legal now."""
        match method:
            case m.ConnectionStartOk():
                self._authenticate(session, method)
            case m.ConnectionTuneOk():
                self._tuned(session, method)
            case m.ConnectionOpen():
                self._open(session, method)
            case m.ConnectionClose():
                if session.ending:
                    session.send(0, m.ConnectionCloseOk())
                else:
                    session.end(f"closed by the client: {method.reply_code} {method.reply_text}")
                    session.send(0, m.ConnectionCloseOk())
            case m.ConnectionCloseOk():
                session.end("closed")
            case m.ConnectionUpdateSecret():
                session.send(0, m.ConnectionUpdateSecretOk())

    def _authenticate(self, session: Session, method: m.ConnectionStartOk) -> None:
        session.client_properties = dict(method.client_properties)
        capabilities = session.client_properties.get("capabilities")
        session.capabilities = dict(capabilities) if isinstance(capabilities, dict) else {}
        name = session.client_properties.get("connection_name")
        if isinstance(name, str):
            session.given_name = name
        mechanism = method.mechanism
        user, password = credentials(mechanism, method.response)
        if not self._users.check(user, password, session.loopback):
            self._refuse(session, mechanism)
            return
        session.user = user
        session.mechanism = mechanism
        limits = self._limits
        session.send(
            0,
            m.ConnectionTune(channel_max=limits.channel_max, frame_max=limits.frame_max, heartbeat=limits.heartbeat_s),
        )

    def _refuse(self, session: Session, mechanism: str) -> None:
        text = (
            f"ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. "
            "For details see the broker logfile."
        )
        if session.capabilities.get("authentication_failure_close"):
            session.close(403, text)
        else:
            session.end("login refused")

    def _tuned(self, session: Session, method: m.ConnectionTuneOk) -> None:
        check_tuned("frame_max", method.frame_max, FRAME_MIN_SIZE, self._limits.frame_max)
        check_tuned("channel_max", method.channel_max, 1, self._limits.channel_max)
        session.wire.tune(method.channel_max, method.frame_max)
        session.heartbeat_s = method.heartbeat

    def _open(self, session: Session, method: m.ConnectionOpen) -> None:
        name = method.virtual_host
        vhost = session.broker.vhosts.get(name)
        if vhost is None:
            raise ConnectionError(530, f"NOT_ALLOWED - vhost {name} not found")
        session.vhost = vhost
        session.router = session.broker.routers[name]
        session.broker.peers[id(session)] = session
        session.send(0, m.ConnectionOpenOk())


def check_tuned(name: str, value: int, lowest: int, highest: int) -> None:
    """The client may lower what the server offered, not raise it."""
    if value and value < lowest:
        text = f"negotiated {name} = {value} is lower than the minimum allowed value ({lowest})"
        raise ConnectionError(530, f"NOT_ALLOWED - {text}")
    if highest and (value == 0 or value > highest):
        shown = f"{value} (no limit)" if value == 0 else str(value)
        text = f"negotiated {name} = {shown} is greater than the maximum allowed value ({highest})"
        raise ConnectionError(530, f"NOT_ALLOWED - {text}")
