"""Invariant: any bytes, in any pieces, give a connection machine of either role events and at most one ProtocolFailure,
never an exception, and the same events whatever the pieces. After a failure nothing is read but how the connection ends:
connection.close-ok, or the peer's own connection.close.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

from fuzz import Broken
from fuzz.frames import damaged, run_of
from leveret.wire import events as e
from leveret.wire import methods as m
from leveret.wire.connection import Connection

ATTRIBUTES = ("channel", "method", "header", "body", "delivery_tag", "multiple", "code", "text", "consumer_tag")
ENDING = (m.ConnectionClose, m.ConnectionCloseOk)


def check(rng: Random) -> int:
    """One case; how many frames it had. Broken if the invariant does not hold."""
    frames = run_of(rng, (0, 1, 2))
    data = damaged(rng, frames)
    for role in (True, False):
        whole, pieces = opened(role), opened(role)
        try:
            seen = told(whole.receive(data))
            seen_in_pieces = [event for piece in _pieces(rng, data) for event in told(pieces.receive(piece))]
        except Exception as error:
            raise Broken(f"{_name(role)}: {type(error).__name__}: {error}", data) from error
        if until_failure(seen) != until_failure(seen_in_pieces):
            raise Broken(f"{_name(role)}: other events when the bytes come in pieces", data)
        afterwards = seen_in_pieces[len(until_failure(seen_in_pieces)) :]
        if not all(event[:2] == ("MethodReceived", 0) and isinstance(event[2], ENDING) for event in afterwards):
            raise Broken(f"{_name(role)}: something was read after the protocol failed", data)
    return len(frames)


class Machines:
    """The target: see `check`."""

    def check(self, rng: Random) -> int:
        return check(rng)

    def facts(self) -> str:
        return "same events whole and in pieces, both roles"


def opened(server_role: bool) -> Connection:
    """One end after the handshake, with channels 1 and 2 open."""
    client, server = Connection(False), Connection(True)
    client.open()
    server.receive(client.take())
    for first, answer in (
        (m.ConnectionStart(), m.ConnectionStartOk()),
        (m.ConnectionTune(), m.ConnectionTuneOk()),
    ):
        server.send(0, first)
        client.receive(server.take())
        client.send(0, answer)
        server.receive(client.take())
    client.tune(2047, 131_072)
    server.tune(2047, 131_072)
    for number, question, reply in (
        (0, m.ConnectionOpen(), m.ConnectionOpenOk()),
        (1, m.ChannelOpen(), m.ChannelOpenOk()),
        (2, m.ChannelOpen(), m.ChannelOpenOk()),
    ):
        client.send(number, question)
        server.receive(client.take())
        server.send(number, reply)
        client.receive(server.take())
    return server if server_role else client


def told(events: list[e.Event]) -> list[tuple[object, ...]]:
    """Events as values."""
    return [(type(event).__name__, *(getattr(event, name, None) for name in ATTRIBUTES)) for event in events]


def until_failure(events: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    for number, event in enumerate(events):
        if event[0] == "ProtocolFailure":
            return events[: number + 1]
    return events


def _pieces(rng: Random, data: bytes) -> list[bytes]:
    cuts = sorted({0, len(data), *(rng.randint(0, len(data)) for _ in range(rng.randint(0, 20)))})
    return [data[start:stop] for start, stop in pairwise(cuts)]


def _name(server_role: bool) -> str:
    return "server's machine" if server_role else "client's machine"
