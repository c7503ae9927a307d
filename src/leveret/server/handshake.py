"""The connection's own methods: from the protocol header to open, and the end (AMQP 0-9-1 section 2.2.4).

Called by server/protocol through the session; every legal order of these methods stands in wire/machine.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from leveret import __version__
from leveret.errors import ConnectionError, Sated
from leveret.server.auth import credentials, unknown_mechanism
from leveret.wire import methods as m
from leveret.wire.machine import CLOSED
from leveret.wire.spec import FRAME_MIN_SIZE

if TYPE_CHECKING:
    from leveret.server.config import Config
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

    def __init__(self, config: Config) -> None:
        self._limits = config.limits
        self._mechanisms = config.auth_mechanisms

    def start(self, session: Session) -> None:
        """The protocol header was ours."""
        start = m.ConnectionStart(
            version_major=0,
            version_minor=9,
            server_properties=server_properties(),
            mechanisms=" ".join(self._offered(session)).encode(),
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
                if session.wire.state == CLOSED:
                    pass  # it had to wait, and meanwhile the broker closed the connection and was answered
                elif session.ending:
                    session.send(0, m.ConnectionCloseOk())
                elif any(channel.owing or channel.busy for channel in session.channels.values()):
                    raise Sated
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
        user = self._user(session, mechanism, method.response)
        session.broker.commons.churn.tried("amqp091", user is not None)
        if user is None:
            self._refuse(session, mechanism)
            return
        session.user = user
        session.mechanism = mechanism
        limits = self._limits
        session.send(
            0,
            m.ConnectionTune(channel_max=limits.channel_max, frame_max=limits.frame_max, heartbeat=limits.heartbeat_s),
        )

    def _offered(self, session: Session) -> list[str]:
        """EXTERNAL is for clients whose certificate TLS has verified."""
        certified = session.tls is not None and session.tls.verified
        return [name for name in self._mechanisms if name != "EXTERNAL" or certified]

    def _user(self, session: Session, mechanism: str, response: bytes) -> str | None:
        """Who the client proved to be; None if it did not."""
        if mechanism not in self._offered(session):
            raise unknown_mechanism(mechanism)
        if mechanism == "EXTERNAL":
            named = None if session.tls is None else session.tls.user
            users = session.broker.users
            return named if named is not None and users.known(named, session.loopback) else None
        user, password = credentials(mechanism, response)
        found = session.broker.users.authenticate(user, password, session.loopback)
        return None if found is None else found.name

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
        vhost = session.broker.tenants.connect(session, method.virtual_host)
        session.router = session.broker.routers[vhost.name]
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
