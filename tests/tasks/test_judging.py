"""Where a task is and why it has not run, told from what is known: what the two brokers cannot be brought to show at will."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from leveret.tasks.clues import due_at, home, lane_of, span
from leveret.tasks.events import Beat
from leveret.tasks.finding import Found, Search
from leveret.tasks.judging import Known, Remembered, Why, judge
from leveret.tasks.ladder import descent, rung

NOW = 1_000_000.0


def judged(found: Found | None = None, **known: Any) -> Why:
    search = known.pop("search", Search([found] if found else []))
    return judge(Known(id="i", now=NOW, search=search, **known))


def delayed(delay_ms: int, **more: Any) -> Found:
    down = descent("a.b", delay_ms)
    return Found(queue=rung(down.rung), routing_key=down.routing_key, **more)


def test_a_delay_is_counted_from_when_it_was_sent_or_failed_or_fell() -> None:
    assert due_at(delayed(60_000, sent=100.0)) == 160.0
    failed = {"x-leveret-attempt": 1, "x-leveret-last-failure": datetime.fromtimestamp(500, UTC)}
    assert due_at(delayed(60_000, sent=100.0, headers=failed)) == 560.0
    down = descent("a.b", 60_000)  # 600 tenths are 1001011000: the first digit is behind it
    fell = {"x-death": [{"queue": rung(9), "time": 151}]}
    assert due_at(Found(queue=rung(6), routing_key=down.routing_key, headers=fell, sent=100.0)) == 151 + 8.8
    assert due_at(delayed(60_000)) is None
    assert due_at(delayed(60_000, sent=100.0, headers={"x-leveret-wait": 5000})) == 165.0


@pytest.mark.parametrize("key", ["", "1.0", "x" * 60, ".".join("2" * 26) + ".q"])
def test_a_key_that_is_no_delay_tells_nothing(key: str) -> None:
    assert due_at(Found(queue=rung(3), routing_key=key, sent=1.0)) is None


def test_whose_queue_it_is_is_told_wherever_it_is() -> None:
    assert home(delayed(1000)) == "a.b"
    assert home(Found(queue="leveret.lane.a%2Eb.of.tenant")) == "a.b"
    assert home(Found(queue="q.dead", headers={"x-leveret-queue": "other"})) == "other"
    assert home(Found(queue="q.dead")) == "q"
    assert home(Found(queue="q")) == "q"


def test_a_lane_tells_its_limit_also_if_its_name_was_too_long() -> None:
    assert lane_of(Found(queue="leveret.lane.q.of.a%2Fb")) == ("of", "", "a/b")
    assert lane_of(Found(queue="leveret.lane.q.rate.send.key")) == ("rate", "send", "key")
    hashed = Found(queue="leveret.lane.=12ab", headers={"x-leveret-rate-key": "k"})
    assert lane_of(hashed) == ("rate", "", "k")


def test_it_waits_for_its_turn_or_for_its_rate() -> None:
    turn = judged(Found(queue="leveret.lane.q.of.acme", before=4))
    assert turn.state == "limited" and 'its tenant "acme" behind 4 others' in turn.reason
    rate = judged(Found(queue="leveret.lane.q.rate.send.acme"))
    assert rate.facts["limit"] == "rate" and "as its rate allows have begun lately" in rate.reason


def test_workers_that_rest_and_workers_with_room_are_told_apart() -> None:
    found = Found(queue="q", before=0, consumers=0)
    resting = judged(found, beats=[Beat(worker="w", state="quiet", slots=2, queues=["q"])])
    assert resting.facts["because"] == "quiet"
    free = judged(found, beats=[Beat(worker="w", slots=2, busy=1, queues=["q"])])
    assert free.facts["because"] == "next" and "1 of 2 slots of 1 worker are free" in free.reason
    elsewhere = judged(found, beats=[Beat(worker="w", slots=2, queues=["other"])])
    assert elsewhere.facts["because"] == "no-consumers"


def test_one_that_was_parked_and_sent_back_does_not_expire() -> None:
    headers = {"x-leveret-expires": 1000, "x-leveret-reason": "expired"}
    assert judged(Found(queue="q", headers=headers)).state == "waiting"
    assert judged(Found(queue="q", headers={"x-leveret-expires": 1000})).state == "expired"


def test_headers_of_strangers_are_read_as_far_as_they_make_sense() -> None:
    headers = {"x-leveret-attempt": "many", "x-leveret-expires": -5, "x-death": [7, {"queue": None}]}
    assert judged(delayed(1000, headers=headers)).state == "delayed"
    assert judged(Found(queue="q", headers=headers)).state == "waiting"


@pytest.mark.parametrize(
    ("state", "looked", "told"),
    [
        ("succeeded", True, "done"),
        ("cancelled", True, "cancelled"),
        ("parked", True, "parked"),
        ("parked", False, "parked"),
        ("waiting", False, "retrying"),
        ("running", True, "unknown"),
    ],
)
def test_what_is_remembered_counts_where_nothing_is_found(state: str, looked: bool, told: str) -> None:
    why = judged(search=Search([], looked=looked), remembered=Remembered(state, NOW - 60, "q", "t"))
    assert (why.state, why.since) == (told, NOW - 60)


def test_it_is_said_where_nobody_could_look() -> None:
    many = judged(search=Search([], 0, tuple(f"q{number}" for number in range(9))))
    assert "not all of q0, q1, q2 and 6 more could be looked at" in many.reason
    assert "70 messages are on disk alone" in judged(search=Search([], 70)).reason
    held = judged(search=Search([]), queue="q", held_in_queue=2)
    assert '2 messages of queue "q" are held unacknowledged, and it may be one of them' in held.reason


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.41, "0.4 s"), (59.4, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (97200, "1 d 3 h")]
)
def test_spans_are_told_in_the_units_that_fit(seconds: float, text: str) -> None:
    assert span(seconds) == text
