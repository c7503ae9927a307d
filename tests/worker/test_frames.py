"""What a worker and a task's process say to each other arrives as it was said."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime

import msgspec
import pytest

from leveret.client import BasicProperties
from leveret.errors import TaskError
from leveret.tasks import Cancelled, Done, Failed, Failure, Message, Outcome, Parked, Progress
from leveret.tasks.signature import write
from leveret.worker.frames import LENGTH_BYTES, End, Order, Step, frame, read_said, receive_order

FAILURE = Failure("ValueError", "no", "in f", tried=False)


@pytest.mark.parametrize("outcome", [Failed(FAILURE, 1.5, 60.0), Parked("rejected", FAILURE, 2.0), Cancelled(3.0)])
def test_an_outcome_arrives(outcome: Outcome) -> None:
    said = read_said(frame(End.of(outcome))[LENGTH_BYTES:])
    assert isinstance(said, End)
    assert said.outcome() == outcome


def test_a_value_arrives_as_json() -> None:
    outcome = End.of(Done({"a": [1, "ä\n"]}, 0.5)).outcome()
    assert isinstance(outcome, Done)
    assert msgspec.json.decode(write(outcome.value)) == {"a": [1, "ä\n"]}


def test_why_a_value_has_no_form_in_json_arrives_too() -> None:
    outcome = End.of(Done(object(), 0.5)).outcome()
    assert isinstance(outcome, Done)
    with pytest.raises(TaskError, match="object cannot be written as JSON"):
        write(outcome.value)


def test_progress_arrives() -> None:
    assert read_said(frame(Step(Progress(1, 2, "x")))[LENGTH_BYTES:]) == Step(Progress(1, 2, "x"))


def test_an_order_arrives_with_the_whole_message() -> None:
    headers: dict[str, object] = {"x": [1, b"y", datetime(2026, 1, 1, tzinfo=UTC), {"z": None}]}
    properties = BasicProperties(headers=headers, message_id="1", type="t")
    message = Message("q", bytes(300_000), properties, 3, True, deliveries=4, crashes=5)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sending = threading.Thread(target=ours.sendall, args=(frame(Order.of(message, 1.5, 64)),))
        sending.start()
        received = receive_order(theirs)
        sending.join()
    assert received.message() == message
    assert (received.limit_s, received.memory_mb) == (1.5, 64)


def test_the_end_of_the_worker_is_told() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.send(b"\x00\x00")
        ours.close()
        with pytest.raises(EOFError):
            receive_order(theirs)
