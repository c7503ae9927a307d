"""The SASL mechanisms PLAIN and AMQPLAIN: user and password out of what a client says.

Whether they belong together is broker/users' to say. Used by server/handshake.
"""

from __future__ import annotations

from leveret.errors import CodecError, ConnectionError
from leveret.wire.values import decode_table


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
        raise unknown_mechanism(mechanism)
    raise ConnectionError(501, f"FRAME_ERROR - invalid {mechanism} response")


def unknown_mechanism(mechanism: str) -> ConnectionError:
    return ConnectionError(503, f"COMMAND_INVALID - unknown authentication mechanism '{mechanism}'")
