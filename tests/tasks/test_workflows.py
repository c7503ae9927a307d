"""What a workflow is made of, and what is refused when it is made or sent. No broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from leveret.errors import TaskError
from leveret.tasks import Call, WorkQueue, chain, group
from leveret.tasks.continuation import Join, Send, Spread, read_next
from leveret.tasks.departure import NOTHING, Flow, depart, settled
from leveret.tasks.workflows import MEMBERS_MAX

work = WorkQueue("amqp://nobody@nowhere.invalid")
FLOW = Flow("flow", "app", "replies")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@work.task
def add(a: int, b: int = 0) -> int:
    return a + b


@work.task
def total(*numbers: int) -> int:
    return sum(numbers)


@work.task
def nothing() -> None: ...


def test_the_arguments_behind_one_that_is_to_come_are_checked_at_once() -> None:
    assert msgspec.json.decode(add.partial(b=1).body) == {"args": [], "kwargs": {"b": 1}}
    assert msgspec.json.decode(total.partial(1, 2).body) == {"args": [1, 2], "kwargs": {}}
    with pytest.raises(TaskError, match="'b' does not fit"):
        add.partial("one")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="behind a first argument that is to come"):
        add.partial(1, 2)  # type: ignore[call-arg]
    with pytest.raises(TaskError, match="behind a first argument that is to come"):
        nothing.partial()  # type: ignore[misc]


def test_a_partial_call_is_sent_in_a_workflow_only_and_behind_something() -> None:
    with pytest.raises(TaskError, match="is for a workflow"):
        work.send_many([add.partial(1)])
    for flow in (
        chain(add.partial(1)),
        group([add.call(1), add.partial(1)]),
        chain(group([add.partial()]), add.call(1)),
    ):
        with pytest.raises(TaskError, match="nothing comes before the first task"):
            flow.send()


def test_what_is_no_call_is_refused_and_so_is_a_chain_of_nothing() -> None:
    with pytest.raises(TaskError, match="is no part of a workflow"):
        chain(add)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="at least one"):
        chain()
    with pytest.raises(TaskError, match="make it a group of groups"):
        group([add.call(1)] * (MEMBERS_MAX + 1))


def test_tasks_of_two_workqueues_are_no_workflow() -> None:
    other = WorkQueue().task(name="other")(lambda: None)
    with pytest.raises(TaskError, match="belong to one WorkQueue"):
        chain(add.call(1), other.call()).send()


def test_a_priority_that_its_queue_does_not_know_is_refused_wherever_it_stands() -> None:
    with pytest.raises(TaskError, match="priority 3"):
        chain(add.call(1), add.options(priority=3).partial(1)).send()


def test_a_message_says_what_comes_after_it_and_nothing_of_what_was_before() -> None:
    flow = chain(add.call(1), add.partial(2), add.partial(3))
    steps = flow.steps()
    parcel = depart(FLOW, steps, NOTHING, once=False, now=NOW).parcels[0]
    assert [one["args"] for one in msgspec.json.decode(parcel.body)["next"]] == [[2], [3]]
    assert (parcel.properties.reply_to, parcel.properties.correlation_id) == ("replies", "flow")
    assert parcel.properties.headers == {"x-leveret-workflow": "flow"}
    next = depart(FLOW, read_next(parcel.body), msgspec.Raw(b"10"), once=True, now=NOW).parcels[0]
    assert msgspec.json.decode(next.body)["args"] == [10, 2]
    assert "x-leveret-once" in (next.properties.headers or {})


def test_members_of_a_group_carry_their_place_and_its_plan_what_comes_then() -> None:
    steps = group([add.call(1), group([]), chain(add.call(2), add.partial())]).then(total.partial()).steps()
    departure = depart(FLOW, steps, NOTHING, once=False, now=NOW)
    plan = msgspec.json.decode(departure.plans[0].body)
    assert (plan["size"], plan["known"], [one["task"] for one in plan["next"]]) == (3, {"1": []}, ["total"])
    joins = [read_next(parcel.body)[-1] for parcel in departure.parcels]
    assert [(join.index, join.of) for join in joins if isinstance(join, Join)] == [(0, 2), (2, 2)]


def test_groups_that_have_nothing_to_wait_for_are_complete_before_they_begin() -> None:
    steps = [Spread("a", [[Spread("b", [])], [Spread("c", [])]]), Send("id", "add", "q")]
    left, value = settled(steps, NOTHING)
    assert (left, bytes(value)) == (steps[1:], b"[[],[]]")


def test_a_delay_counts_from_its_turn_and_an_eta_is_a_time() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for call, expected in ((add.options(delay=5).call(1), 5_000), (add.options(eta=tomorrow).call(1), 3_600_000)):
        (step,) = chain(call).steps()
        assert isinstance(step, Send) and step.cancellable
        now = tomorrow - timedelta(hours=1)
        assert depart(FLOW, [step], NOTHING, once=False, now=now).parcels[0].delay_ms == expected


def test_a_step_expires_so_long_after_its_turn_or_at_a_time_and_has_its_version() -> None:
    newer = work.task(name="newer", version=3)(lambda: None)
    at = datetime(2026, 6, 1, tzinfo=UTC)
    for call, expected in (
        (newer.options(expires=90).call(), NOW + timedelta(seconds=90)),
        (newer.options(delay=5, expires=90).call(), NOW + timedelta(seconds=95)),
        (newer.options(expires=at).call(), at),
    ):
        steps = read_next(depart(FLOW, chain(add.call(1), call).steps(), NOTHING, once=False, now=NOW).parcels[0].body)
        headers = depart(FLOW, steps, NOTHING, once=True, now=NOW).parcels[0].properties.headers or {}
        assert headers["x-leveret-expires"] == expected.timestamp() * 1000
        assert headers["x-leveret-version"] == 3


def test_a_step_of_somebody_else_with_huge_numbers_expires_at_the_end_of_time() -> None:
    step = Send("id", "add", "q", delay_ms=10**18, expires_ms=2**63 - 1)
    headers = depart(FLOW, [step], NOTHING, once=True, now=NOW).parcels[0].properties.headers or {}
    assert headers["x-leveret-expires"] == 2**63 - 1


def test_a_message_that_a_broker_might_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leveret.tasks.departure.BODY_BYTES_MAX", 100)
    with pytest.raises(TaskError, match="100 at most"):
        chain(add.call(1), add.partial(2), add.partial(3)).send()


@pytest.mark.parametrize("body", [b"no json", b'{"next": [{"do": "dance"}]}', b'{"next": 1}'])
def test_steps_that_cannot_be_read_are_told(body: bytes) -> None:
    with pytest.raises(TaskError, match="cannot be read"):
        read_next(body)


def test_ids_are_new_with_each_sending() -> None:
    flow: Any = chain(add.call(1))
    assert flow.steps()[0].id != flow.steps()[0].id
    assert isinstance(add.partial(), Call)
