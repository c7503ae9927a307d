"""Each broken promise, planted in a run in which all else is well, is found; what is explained is not held against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crash.checker import Verdict, check
from crash.records import Line, Sheet, body_of, message_of, read

A, B, C = "p0-1-1:1", "p0-1-1:2", "p0-1-1:3"


def lines(text: str) -> list[Line]:
    """One line each: who, kind, fields. The time is the line's number."""
    rows = [row.split() for row in text.strip().splitlines()]
    return [Line(at, who, kind, tuple(fields)) for at, (who, kind, *fields) in enumerate(rows)]


def judged(text: str, **how: bool) -> Verdict:
    return check(lines(OPENED + text), **how)


def broken(text: str, **how: bool) -> set[str]:
    """The promises that did not hold."""
    return {what.partition(":")[0] for what in judged(text, **how).broken}


OPENED = f"""
driver start broker
p0-1 opening p0-1-1
w0-1 opening w0-1-1
w1-1 opening w1-1-1
p0-1 opened p0-1-1
w0-1 opened w0-1-1
w1-1 opened w1-1-1
p0-1 sent {A} work
p0-1 confirmed {A}
"""
OPENING = "w2-1 opening w2-1-1"
GOT = f"w0-1 got w0-1-1 {A} work 0 0"
DONE = f"{GOT}\nw0-1 done w0-1-1 {A}"
ACKED = f"{DONE}\nw0-1 ack w0-1-1 {A}"
MARKED = f"{ACKED}\nw0-1 marking w0-1-1\nw0-1 marked w0-1-1"
AGAIN = f"w1-1 got w1-1-1 {A} work 1 1\nw1-1 done w1-1-1 {A}"
RESTARTED = "driver kill broker\ndriver start broker\nw2-1 opening w2-1-1\nw2-1 opened w2-1-1"
AFTER_RESTART = f"{RESTARTED}\nw2-1 got w2-1-1 {A} work 1 1\nw2-1 done w2-1-1 {A}"


def test_a_run_in_which_all_went_well_breaks_nothing() -> None:
    verdict = judged(MARKED)
    assert verdict.broken == []
    assert (verdict.sent, verdict.confirmed, verdict.done, verdict.repeated, verdict.certain) == (1, 1, 1, 0, 1)


def test_a_confirmed_message_that_was_never_done_is_lost() -> None:
    assert broken(GOT) == {"lost"}
    assert broken("") == {"lost"}


def test_a_message_that_was_sent_but_not_confirmed_may_be_lost() -> None:
    assert broken(f"{MARKED}\np0-1 sent {B} work") == set()


def test_a_message_that_was_never_sent_is_invented() -> None:
    assert broken(f"{MARKED}\nw0-1 got w0-1-1 {B} work 0 0") == {"invented"}


def test_a_message_that_came_damaged_is_invented_and_its_original_lost() -> None:
    body = body_of(A)[:-1] + b"?"
    damaged = message_of(body)
    assert broken(f"w0-1 got w0-1-1 {damaged} work 0 0\nw0-1 done w0-1-1 {damaged}") == {"invented", "lost"}


@pytest.mark.parametrize("held", [GOT, DONE, ACKED, MARKED])
def test_a_message_that_comes_again_while_its_holder_lives_is_unexplained(held: str) -> None:
    assert "unexplained" in broken(f"{held}\n{AGAIN}")


def test_a_message_that_comes_twice_on_one_link_is_unexplained() -> None:
    assert broken(f"{ACKED}\nw0-1 got w0-1-1 {A} work 1 1\nw0-1 done w0-1-1 {A}") == {"unexplained"}


@pytest.mark.parametrize("held", [GOT, DONE, ACKED])
def test_after_its_workers_death_a_message_may_come_again_even_if_acknowledged(held: str) -> None:
    assert broken(f"{held}\ndriver kill w0-1\n{AGAIN}") == set()


@pytest.mark.parametrize("held", [GOT, DONE, ACKED])
def test_after_the_brokers_death_a_message_may_come_again_even_if_acknowledged(held: str) -> None:
    assert broken(f"{held}\n{AFTER_RESTART}") == set()


def test_the_death_of_another_worker_explains_nothing() -> None:
    assert broken(f"{DONE}\ndriver kill w3-1\n{AGAIN}") == {"unexplained"}


def test_a_death_after_the_second_delivery_explains_nothing() -> None:
    assert broken(f"{DONE}\n{AGAIN}\ndriver kill w0-1\ndriver kill broker") == {"unexplained"}


def test_a_death_of_the_broker_before_the_link_was_opened_explains_nothing() -> None:
    text = f"{RESTARTED}\nw2-1 got w2-1-1 {A} work 0 0\nw2-1 done w2-1-1 {A}"
    assert broken(f"{text}\nw3-1 opening w3-1-1\nw3-1 got w3-1-1 {A} work 1 1") == {"unexplained"}


@pytest.mark.parametrize("death", ["driver kill w0-1", "driver kill broker"])
def test_an_acknowledgement_with_a_mark_after_it_lasts_over_every_death(death: str) -> None:
    later = f"w2-1 opening w2-1-1\nw2-1 got w2-1-1 {A} work 1 1"
    assert broken(f"{MARKED}\n{death}\n{later}") == {"unexplained"}


def test_a_mark_that_was_not_confirmed_makes_nothing_certain() -> None:
    assert broken(f"{ACKED}\nw0-1 marking w0-1-1\ndriver kill w0-1\n{AGAIN}") == set()


def test_an_acknowledgement_after_the_mark_was_sent_is_not_covered_by_it() -> None:
    text = f"{DONE}\nw0-1 marking w0-1-1\nw0-1 ack w0-1-1 {A}\nw0-1 marked w0-1-1"
    assert broken(f"{text}\ndriver kill w0-1\n{AGAIN}") == set()


def test_where_marks_do_not_last_only_the_brokers_death_undoes_an_acknowledgement() -> None:
    assert broken(f"{MARKED}\n{AFTER_RESTART}", marks_last=False) == set()
    assert broken(f"{MARKED}\ndriver kill w0-1\n{AGAIN}", marks_last=False) == {"unexplained"}


def test_repeats_are_counted_by_what_was_done() -> None:
    verdict = judged(f"{DONE}\ndriver kill w0-1\n{AGAIN}\ndriver kill w1-1\nw2-1 opening w2-1-1\n{GOT_BY_W2}")
    assert (verdict.done, verdict.repeated) == (1, 1)


GOT_BY_W2 = f"w2-1 got w2-1-1 {A} work 1 2"


def test_first_deliveries_out_of_order_are_found_on_the_ordered_queue_alone() -> None:
    sent = f"p0-1 sent {B} ordered\np0-1 sent {C} ordered"
    swapped = f"{MARKED}\n{sent}\nw0-1 got w0-1-1 {C} QUEUE 0 0\nw0-1 got w0-1-1 {B} QUEUE 0 0"
    assert broken(swapped.replace("QUEUE", "ordered")) == {"disordered"}
    assert broken(swapped.replace("QUEUE", "work")) == set()


def test_redelivered_messages_come_before_newer_ones_without_breaking_the_order() -> None:
    sent = f"{MARKED}\np0-1 sent {B} ordered\np0-1 sent {C} ordered"
    first = f"w0-1 got w0-1-1 {B} ordered 0 0\nw0-1 got w0-1-1 {C} ordered 0 0\ndriver kill w0-1"
    assert broken(f"{sent}\n{first}\nw1-1 got w1-1-1 {B} ordered 1 1\nw1-1 got w1-1-1 {C} ordered 1 1") == set()


def test_each_connection_of_a_publisher_has_an_order_of_its_own() -> None:
    other = "p0-1-2:1"
    sent = f"{MARKED}\np0-1 sent {B} ordered\np0-1 sent {other} ordered"
    assert broken(f"{sent}\nw0-1 got w0-1-1 {B} ordered 0 0\nw0-1 got w0-1-1 {other} ordered 0 0") == set()


def test_a_delivery_count_that_falls_is_found() -> None:
    twice = f"{GOT}\ndriver kill w0-1\nw1-1 got w1-1-1 {A} work 1 2\nw1-1 done w1-1-1 {A}"
    fallen = f"{twice}\n{RESTARTED}\nw2-1 got w2-1-1 {A} work 1 1"
    assert broken(fallen) == {"fallen"}
    assert broken(fallen.replace("work 1 1", "work 1 2")) == set()


def test_a_message_that_comes_again_without_the_redelivered_flag_is_found_unless_the_broker_died() -> None:
    again = AGAIN.replace("work 1", "work 0")
    assert broken(f"{DONE}\ndriver kill w0-1\n{again}") == {"unflagged"}
    assert broken(f"{DONE}\n{AFTER_RESTART.replace('work 1', 'work 0')}") == set()


def test_what_arrived_before_the_brokers_death_may_be_written_down_after_it() -> None:
    late = f"driver kill broker\n{ACKED}\ndriver start broker\nw2-1 opening w2-1-1"
    assert broken(f"{late}\nw2-1 got w2-1-1 {A} work 0 0") == set()


def test_a_connection_that_ends_though_nobody_was_killed_is_found() -> None:
    assert broken(f"{MARKED}\nw0-1 lost w0-1-1 ConnectionLost") == {"cut"}
    assert broken(f"{MARKED}\ndriver kill broker\nw0-1 lost w0-1-1 ConnectionLost") == set()
    assert broken(f"{MARKED}\nw2-1 opening w2-1-1\nw2-1 lost w2-1-1 refused") == set()


def test_the_slowest_recovery_runs_from_a_start_to_the_first_confirm_or_delivery() -> None:
    text = f"{MARKED}\np0-1 sent {B} work\ndriver kill broker\ndriver start broker\nw2-1 opening w2-1-1\np0-1 confirmed {B}"
    assert judged(text).recovery_slowest_s == 8 / 1e9, "the first start, with eight lines until its first confirm"
    longer = text.replace("\nw2-1 opening w2-1-1", f"\nw2-1 opening w2-1-1\nw0-1 start w0-1-1 {A}" * 4 + "\n" + OPENING)
    assert judged(longer).recovery_slowest_s == 10 / 1e9


def test_what_was_lost_is_counted_for_the_queue_it_was_sent_to() -> None:
    verdict = judged(f"p0-1 sent {B} delayed\np0-1 confirmed {B}")
    assert verdict.lost_of == {"work": 1, "delayed": 1}


def test_kills_are_counted_by_role_and_the_end_of_a_run_is_none() -> None:
    verdict = judged(f"{MARKED}\ndriver kill broker\ndriver kill w0-1\ndriver kill p0-1\ndriver stop w1-1")
    assert verdict.kills == {"broker": 1, "worker": 1, "publisher": 1}


def test_a_line_cut_short_by_a_kill_is_left_out_and_the_rest_is_read_in_order_of_time(tmp_path: Path) -> None:
    first, second = Sheet(tmp_path, "p0-1"), Sheet(tmp_path, "w0-1")
    second.write("opening", "w0-1-1")
    first.write("opening", "p0-1-1")
    with (tmp_path / "p0-1.lines").open("a") as cut:
        cut.write("123 sent p0-1-")
    assert [(line.who, line.kind, line.fields) for line in read(tmp_path)] == [
        ("w0-1", "opening", ("w0-1-1",)),
        ("p0-1", "opening", ("p0-1-1",)),
    ]


def test_a_body_tells_its_message_and_a_changed_one_does_not() -> None:
    messages = [f"p1-2-3:{number}" for number in range(500)]
    assert [message_of(body_of(message)) for message in messages] == messages
    assert max(len(body_of(message)) for message in messages) > 3000
    assert message_of(body_of(messages[0]) + b"x").startswith("damaged-")
    assert message_of(b"").startswith("damaged-")
