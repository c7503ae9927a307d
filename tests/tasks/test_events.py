"""The forms of events: what is written is read back, what others write too, and what each listener asks for."""

from __future__ import annotations

import msgspec
import pytest

from leveret.tasks.events import Beat, Failed, Parked, Running, Started, Succeeded, address, kind_of, read
from leveret.tasks.listener import bindings


@pytest.mark.parametrize(
    "event",
    [
        Started(time=1.5, worker="h:1:a", task="t", id="1", queue="q", attempt=2, sent=1.0),
        Failed(task="t", took_s=0.5, exception="ValueError", error="no\ngood"),
        Parked(task="", reason="unknown-task"),
        Beat(
            worker="h:1:a", slots=4, busy=1, queues=["a", "b"], running=[Running(task="t", since=3.5, done=1, total=2)]
        ),
    ],
    ids=kind_of,
)
def test_what_is_written_is_read_back(event: Started) -> None:
    assert read(msgspec.json.encode([event])) == [event]


def test_what_another_program_says_is_read_whatever_it_leaves_out_or_adds() -> None:
    (event,) = read(b'[{"event": "succeeded", "task": "t", "mood": "good"}]')
    assert event == Succeeded(task="t") and kind_of(event) == "succeeded"


@pytest.mark.parametrize("body", [b"", b"{}", b'[{"event": "born"}]', b'[{"event": "started", "attempt": "two"}]'])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(body)


def test_a_queue_is_one_word_of_the_routing_key_whatever_its_name() -> None:
    assert address("failed", "mail.to/#ä*") == "failed.mail%2Eto%2F%23%C3%A4%2A"
    assert len(address("succeeded", "ä" * 120)) <= 255


def test_a_listener_asks_for_what_it_wants_and_always_for_the_beats() -> None:
    assert bindings((), ()) == ["*.*", "worker.*"]
    assert bindings(("failed", "worker"), ()) == ["failed.*", "worker.*"]
    assert bindings((), ("a.b",)) == ["*.a%2Eb", "worker.*"]
    assert bindings(("failed", "parked"), ("a", "b")) == ["failed.a", "failed.b", "parked.a", "parked.b", "worker.*"]
