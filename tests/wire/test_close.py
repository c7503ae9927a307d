"""After a failure only the end of the connection is looked for, however its octets are cut."""

from __future__ import annotations

import pytest

from leveret.wire import events as e
from leveret.wire import methods as m
from leveret.wire.connection import Connection
from leveret.wire.frames import CLOSE_OK, method_frame
from leveret.wire.methods import encode_method

CLOSE = method_frame(0, encode_method(m.ConnectionClose(reply_code=200, reply_text="bye")))
JUNK = b"\x01\x00\x00\x00\x00\x00\x04junk"


def failed() -> Connection:
    """A server's end that has said connection.close because of a frame without an end."""
    wire = Connection(True)
    wire.state, wire.frame_max = 6, 4096
    (failure,) = wire.receive(b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert isinstance(failure, e.ProtocolFailure)
    wire.send(0, m.ConnectionClose(reply_code=failure.code))
    wire.take()
    return wire


def heard(wire: Connection, *pieces: bytes) -> list[str]:
    events = [event for piece in pieces for event in wire.receive(piece)]
    return [event.method.name for event in events if isinstance(event, e.MethodReceived)]


@pytest.mark.parametrize("cut", range(len(JUNK + CLOSE)))
def test_a_close_that_crossed_ours_is_heard_and_may_be_answered(cut: int) -> None:
    wire = failed()
    data = JUNK + CLOSE
    assert heard(wire, data[:cut], data[cut:], b"more") == ["connection.close"]
    wire.send(0, m.ConnectionCloseOk())
    assert wire.take() == CLOSE_OK


@pytest.mark.parametrize("cut", range(len(JUNK + CLOSE_OK)))
def test_close_ok_is_heard_once(cut: int) -> None:
    data = JUNK + CLOSE_OK
    assert heard(failed(), data[:cut], data[cut:], CLOSE_OK) == ["connection.close-ok"]


def test_close_ok_may_follow_the_close_that_crossed() -> None:
    assert heard(failed(), CLOSE, CLOSE_OK) == ["connection.close", "connection.close-ok"]


def test_junk_is_not_heard() -> None:
    assert heard(failed(), JUNK * 100, b"\x00" * 1000) == []
