"""The timeline's bars, as events tell them in whatever order: what began, what ended and how, and what nobody told."""

from __future__ import annotations

from typing import Any

from leveret.dashboard import timeline as module
from leveret.dashboard.timeline import KEPT_S, Timeline
from leveret.tasks.events import AnyEvent, Beat, Failed, Parked, Running, Started, Succeeded


def told(events: list[tuple[AnyEvent, float]], since: int = 0) -> list[list[Any]]:
    line = Timeline()
    for event, now in events:
        line.take("/", event, now)
    bars: list[list[Any]] = line.changes(since, {"/"})["bars"]
    return bars


def started(id: str, time: float, worker: str = "w", attempt: int = 1) -> Started:
    return Started(worker=worker, task="t", id=id, queue="q", attempt=attempt, time=time)


def test_what_begins_is_a_bar_that_ends_in_the_way_it_ended() -> None:
    done = Succeeded(worker="w", task="t", id="a", queue="q", time=12.5, took_s=2.5)
    assert told([(started("a", 10), 10)]) == [["w", "t", "a", "q", 1, 10, None, "running"]]
    assert told([(started("a", 10), 10), (done, 13)]) == [["w", "t", "a", "q", 1, 10, 12.5, "succeeded"]]


def test_of_an_attempt_that_failed_and_was_given_up_there_is_one_bar() -> None:
    failed = Failed(worker="w", task="t", id="a", queue="q", time=11, took_s=1)
    parked = Parked(worker="w", task="t", id="a", queue="q", time=11, took_s=1)
    assert [bar[-1] for bar in told([(started("a", 10), 10), (failed, 11), (parked, 11)])] == ["parked"]


def test_what_is_told_only_when_it_ends_begins_as_long_before_as_it_took() -> None:
    assert told([(Succeeded(worker="w", task="t", id="a", queue="q", time=20, took_s=5), 20)])[0][5:7] == [15, 20]


def test_a_beat_tells_of_what_was_begun_before_anybody_listened_by_our_clock() -> None:
    running = [Running(task="t", id="a", queue="q", since=95)]
    (bar,) = told([(Beat(worker="w", time=100, busy=1, slots=1, running=running), 103)])
    assert (bar[5], bar[6]) == (98, None)


def test_what_a_beat_should_name_and_does_not_has_ended_without_a_word() -> None:
    beat = Beat(worker="w", time=20, busy=0, slots=1)
    assert told([(started("a", 10), 10), (beat, 20)])[0][6:] == [20, "ended"]
    unnamed = Beat(worker="w", time=20, busy=1, slots=1)
    assert told([(started("a", 10), 10), (unnamed, 20)])[0][6:] == [None, "running"]
    just_begun = Beat(worker="w", time=10.5, busy=0, slots=1)
    assert told([(started("a", 10), 10), (just_begun, 10.5)])[0][6:] == [None, "running"]


def test_a_worker_that_stops_runs_nothing() -> None:
    assert told([(started("a", 10), 10), (Beat(worker="w", time=10, state="stopped"), 10)])[0][-1] == "ended"


def test_only_what_has_changed_is_told_again() -> None:
    line = Timeline()
    for number in range(3):
        line.take("/", started(str(number), 10), 10)
    version = line.changes(0, {"/"})["version"]
    assert line.changes(version, {"/"})["bars"] == []
    line.take("/", Succeeded(worker="w", task="t", id="1", queue="q", time=11), 11)
    assert [bar[2] for bar in line.changes(version, {"/"})["bars"]] == ["1"]


def test_very_many_are_told_bit_by_bit_and_each_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "TOLD_MAX", 4)
    line = Timeline()
    for number in range(10):
        line.take("/", started(str(number), 10), 10)
    seen, version, rounds = [], 0, 0
    more = True
    while more:
        answer = line.changes(version, {"/"})
        version, more = answer["version"], answer["more"]
        seen += [bar[2] for bar in answer["bars"]]
        rounds += 1
    assert seen == [str(number) for number in range(10)] and rounds == 3


def test_only_what_the_user_may_see_is_told() -> None:
    line = Timeline()
    line.take("secret", started("a", 10), 10)
    assert line.changes(0, {"/"})["bars"] == []


def test_what_ended_long_ago_is_forgotten_and_what_runs_is_not() -> None:
    line = Timeline()
    line.take("/", started("old", 10), 10)
    line.take("/", started("long", 10, worker="other"), 10)
    line.take("/", Succeeded(worker="w", task="t", id="old", queue="q", time=11), 11)
    running = [Running(task="t", id="long", queue="q", since=10)]
    line.take("/", Beat(worker="other", time=12 + KEPT_S, busy=1, slots=1, running=running), 12 + KEPT_S)
    assert [bar[2] for bar in line.changes(0, {"/"})["bars"]] == ["long"]


def test_their_number_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BARS_MAX", 3)
    line = Timeline()
    for number in range(10):
        line.take("/", started(str(number), 10), 10)
    assert len(line.changes(0, {"/"})["bars"]) == 3
