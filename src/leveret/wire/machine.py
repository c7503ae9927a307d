"""The legal moves of a connection and of a channel, as tables: state -> method -> next state, for both roles.

A move that is not in a table is illegal. Methods are named as the specification does ("queue.declare"). Content
follows its method inside wire/channel; nothing here knows about bytes. Read by wire/connection.
"""

from __future__ import annotations

from typing import Final

# A connection's states, in the order of its life.
HEADER: Final = 0  # the client's protocol header is awaited
STARTING: Final = 1  # connection.start is out, start-ok is awaited
SECURING: Final = 2  # the client has answered; the server may challenge it, or tune
TUNING: Final = 3  # connection.tune is out, tune-ok is awaited
OPENING: Final = 4  # tuned; connection.open is awaited
OPENED: Final = 5  # open received, open-ok not yet sent
OPEN: Final = 6
CLOSING: Final = 7  # close is out: only close-ok (or a crossing close) counts
CLOSED: Final = 8

Moves = dict[int, dict[str, int]]

_HANDSHAKE_CLIENT: Final[Moves] = {
    STARTING: {"connection.start-ok": SECURING},
    SECURING: {"connection.secure-ok": SECURING},
    TUNING: {"connection.tune-ok": OPENING},
    OPENING: {"connection.open": OPENED},
    OPEN: {"connection.update-secret": OPEN},
}
"""What only clients say."""

_HANDSHAKE_SERVER: Final[Moves] = {
    HEADER: {"connection.start": STARTING},
    SECURING: {"connection.secure": SECURING, "connection.tune": TUNING},
    OPENED: {"connection.open-ok": OPEN},
    OPEN: {
        "connection.blocked": OPEN,
        "connection.unblocked": OPEN,
        "connection.update-secret-ok": OPEN,
    },
}
"""What only servers say."""


def _with_closing(moves: Moves) -> Moves:
    """Either side may close from any state; a close that came or went out is answered with close-ok."""
    table: Moves = {}
    for state in range(HEADER, CLOSED + 1):
        table[state] = {**moves.get(state, {}), "connection.close": CLOSING}
    table[CLOSING]["connection.close-ok"] = CLOSED
    return table


CLIENT_MOVES: Final[Moves] = _with_closing(_HANDSHAKE_CLIENT)
SERVER_MOVES: Final[Moves] = _with_closing(_HANDSHAKE_SERVER)

# A channel's states. A number that was never opened, or is closed again, has no channel at all.
CHANNEL_OPENING: Final = 0  # channel.open is out, open-ok is awaited (client) or owed (server)
CHANNEL_OPEN: Final = 1
CHANNEL_CLOSING: Final = 2  # channel.close is out: everything but close and close-ok is dropped
CHANNEL_CLOSED_BY_PEER: Final = 3  # channel.close came, close-ok is owed: all that follows it is dropped
CHANNEL_FAILED: Final = 4  # the peer misused it, channel.close is about to go out: what comes before is dropped

STATE_NAMES: Final = {
    HEADER: "waiting for the protocol header",
    STARTING: "starting",
    SECURING: "securing",
    TUNING: "tuning",
    OPENING: "opening",
    OPENED: "opening",
    OPEN: "running",
    CLOSING: "closing",
    CLOSED: "closed",
}
