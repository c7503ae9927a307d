"""Who may connect: users with passwords, and the SASL mechanisms PLAIN and AMQPLAIN.

Used by server/handshake and by management's basic authentication.
"""

from __future__ import annotations

import hmac

from leveret.errors import CodecError, ConnectionError
from leveret.wire.values import decode_table

MECHANISMS = ("PLAIN", "AMQPLAIN")

GUEST = "guest"


class Users:
    """Names and passwords. `guest` may come from this machine only, as in RabbitMQ."""

    def __init__(self, passwords: dict[str, str] | None = None) -> None:
        self._passwords = dict(passwords) if passwords is not None else {GUEST: GUEST}

    def check(self, user: str, password: str, loopback: bool) -> bool:
        expected = self._passwords.get(user)
        if expected is None or (user == GUEST and not loopback):
            return False
        return hmac.compare_digest(expected.encode(), password.encode("utf-8", "surrogateescape"))


def credentials(mechanism: str, response: bytes) -> tuple[str, str]:
    """User and password out of the client's response. Unknown mechanism or unreadable response: ConnectionError."""
    if mechanism == "PLAIN":
        parts = response.split(b"\0")
        if len(parts) == 3 and not parts[0]:  # nobody logs in to act for somebody else
            return parts[1].decode("utf-8", "surrogateescape"), parts[2].decode("utf-8", "surrogateescape")
    elif mechanism == "AMQPLAIN":
        try:
            table, _ = decode_table(len(response).to_bytes(4, "big") + response, 0)
        except CodecError as error:
            raise ConnectionError(502, f"SYNTAX_ERROR - AMQPLAIN response: {error}") from None
        user, password = table.get("LOGIN"), table.get("PASSWORD")
        if isinstance(user, str) and isinstance(password, str):
            return user, password
    else:
        offered = ", ".join(MECHANISMS)
        raise ConnectionError(504, f"CHANNEL_ERROR - {mechanism} is not among the mechanisms offered ({offered})")
    raise ConnectionError(501, f"FRAME_ERROR - invalid {mechanism} response")
