"""Who looks as if it had forgotten to acknowledge: by ages, by counters, and over time."""

from __future__ import annotations

from typing import Any

from leveret.dashboard.holding import Holder, Memory, judged, of_messages

NOW = 1_000_000.0


def holder(**given: Any) -> Holder:
    known: dict[str, Any] = {
        "vhost": "/",
        "queue": "mail",
        "consumer_tag": "c",
        "channel": 1,
        "connection": "here",
        "client": "worker",
        "host": "127.0.0.1",
        "user": "guest",
        "prefetch": 10,
        "held": 2,
        "oldest": NOW - 30,
        "newest": NOW - 30,
    }
    return Holder(**{**known, **given})


def why(one: Holder, quiet_s: float | None = None) -> str:
    since = {} if quiet_s is None else {"here (1)": NOW - quiet_s}
    return judged([one], since, NOW)[0].why


def test_who_has_just_taken_something_is_not_suspected() -> None:
    assert why(holder(acknowledged=0, held=10), 30) == ""


def test_a_long_task_alone_is_not_suspected_before_its_time() -> None:
    assert why(holder(held=1, oldest=NOW - 500, newest=NOW - 500, acknowledged=0), 500) == ""
    assert "10 minutes" in why(holder(held=1, oldest=NOW - 601, newest=NOW - 601, acknowledged=0), 601)


def test_who_takes_one_after_another_and_never_acknowledges_is_suspected_after_a_minute() -> None:
    assert why(holder(acknowledged=0, held=7, oldest=NOW - 61)) == "It has taken 7 messages and never acknowledged one"


def test_who_goes_on_taking_but_acknowledges_nothing_any_more_is_suspected() -> None:
    one = holder(acknowledged=5, held=7, oldest=NOW - 300, newest=NOW - 10)
    assert why(one, 240) == "It goes on taking messages, and acknowledges none since 4 minutes"
    assert why(one, 5) == ""


def test_who_acknowledges_others_but_not_its_oldest_is_suspected() -> None:
    one = holder(acknowledged=500, held=3, oldest=NOW - 700, newest=NOW - 1)
    assert why(one, 1) == "It acknowledges others and not its oldest"


def test_the_suspicious_come_first_and_then_the_oldest() -> None:
    calm = [holder(client=name, oldest=NOW - age) for name, age in (("young", 1), ("older", 50))]
    told = judged([*calm, holder(client="suspect", acknowledged=0, oldest=NOW - 61)], {}, NOW)
    assert [one.client for one in told] == ["suspect", "older", "young"]
    assert [one.suspicious for one in told] == [True, False, False]


def test_a_channel_without_ages_is_judged_by_since_when_it_acknowledges_nothing() -> None:
    memory = Memory()
    channel = {"name": "here (1)", "messages_unacknowledged": 4, "message_stats": {"ack": 9}}
    assert memory.look([channel], NOW - 700) == {"here (1)": NOW - 700}
    since = memory.look([channel], NOW)
    told = judged([holder(oldest=since["here (1)"], newest=None, acknowledged=9)], since, NOW)
    assert told[0].suspicious


def test_an_acknowledgement_or_an_empty_hand_makes_it_good_again() -> None:
    memory = Memory()
    channel: dict[str, Any] = {"name": "here (1)", "messages_unacknowledged": 4, "message_stats": {"ack": 9}}
    memory.look([channel], NOW)
    assert memory.look([{**channel, "message_stats": {"ack": 10}}], NOW + 5) == {"here (1)": NOW + 5}
    assert memory.look([{**channel, "messages_unacknowledged": 0}], NOW + 6) == {}


def test_messages_are_gathered_by_who_holds_them() -> None:
    row = {
        "vhost": "/",
        "queue": "mail",
        "connection": "here",
        "channel": 1,
        "consumer_tag": "c",
        "client": "worker",
        "redelivered": False,
        "body_bytes": 3,
    }
    rows = [{**row, "delivery_tag": tag, "held_ms": ms} for tag, ms in ((1, 9_000), (2, 4_000))]
    rows.append({**row, "channel": 2, "delivery_tag": 1, "held_ms": 1_000})
    channels = {"here (1)": {"user": "guest", "message_stats": {"ack": 3, "deliver_get": 5}, "prefetch_count": 20}}
    first, second = of_messages(rows, channels, {"here": {"peer_host": "10.0.0.1"}}, {}, NOW)
    assert (first.held, first.oldest, first.newest) == (2, NOW - 9, NOW - 4)
    assert (first.host, first.user, first.acknowledged, first.taken, first.prefetch) == ("10.0.0.1", "guest", 3, 5, 20)
    assert [one["tag"] for one in first.messages] == [1, 2]
    assert (second.channel, second.held) == (2, 1)


def test_what_one_user_may_not_see_is_not_forgotten_for_the_others() -> None:
    memory, channel = Memory(), {"name": "here (1)", "messages_unacknowledged": 5}
    memory.look([channel], NOW)
    assert memory.look([], NOW + 1) == {}
    assert memory.look([channel], NOW + 2) == {"here (1)": NOW}
