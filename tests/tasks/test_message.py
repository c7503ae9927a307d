"""The envelope: what is read from a delivery, and what is written on a message that failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leveret.client import BasicProperties
from leveret.errors import CodecError
from leveret.tasks import Failure, Message, TaskContext, current_message
from leveret.tasks.context import running
from leveret.tasks.message import properties_crashed, properties_failed, properties_of, properties_parked
from leveret.tasks.outcome import TRACEBACK_CHARACTERS_MAX

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FAILURE = Failure("ValueError", "no", "Traceback …")


class FakeDelivery:
    def __init__(self, properties: BasicProperties | None, redelivered: bool = False) -> None:
        self._properties = properties
        self.body = b"body"
        self.redelivered = redelivered

    @property
    def properties(self) -> BasicProperties:
        if self._properties is None:
            raise CodecError("cut short")
        return self._properties


def received(properties: BasicProperties | None) -> Message:
    delivery: Any = FakeDelivery(properties)
    return Message.of("q", delivery)


def test_a_new_message_says_what_it_is() -> None:
    properties = properties_of("resize", "photos")
    assert (properties.type, properties.app_id, properties.delivery_mode) == ("resize", "photos", 2)
    assert properties.content_type == "application/json"
    assert properties.message_id != properties_of("resize", "photos").message_id
    assert isinstance(properties.timestamp, datetime)


def test_a_plain_message_has_no_task_no_id_and_is_at_its_first_attempt() -> None:
    message = received(BasicProperties())
    assert (message.task, message.id, message.attempt, dict(message.headers)) == ("", "", 1, {})


@pytest.mark.parametrize(
    ("headers", "attempt"),
    [
        ({"x-leveret-attempt": 2}, 3),
        ({"x-delivery-count": 2}, 1),
        ({"x-leveret-attempt": 1, "x-delivery-count": 1}, 2),
        ({"x-leveret-attempt": 3, "x-leveret-reason": "attempts"}, 1),
        ({"x-leveret-attempt": -5}, 1),
        ({"x-leveret-attempt": "2"}, 1),
    ],
)
def test_attempts_are_those_that_failed_here_and_begin_anew_for_what_was_parked(
    headers: dict[str, object], attempt: int
) -> None:
    assert received(BasicProperties(headers=headers)).attempt == attempt


def test_unreadable_properties_are_told_and_left_out() -> None:
    message = received(None)
    assert not message.readable
    assert message.properties == BasicProperties()


def test_a_failed_message_keeps_all_of_its_own_and_gains_the_failure() -> None:
    before = BasicProperties(message_id="7", type="t", headers={"mine": 1}, priority=3, expiration="60000")
    after = properties_failed(received(before), FAILURE, NOON)
    assert (after.message_id, after.type, after.priority, after.expiration) == ("7", "t", 3, "60000")
    assert after.headers == {
        "mine": 1,
        "x-leveret-attempt": 1,
        "x-leveret-first-failure": NOON,
        "x-leveret-last-failure": NOON,
        "x-leveret-exception": "ValueError",
        "x-leveret-error": "no",
        "x-leveret-traceback": "Traceback …",
    }
    assert before.headers == {"mine": 1}


def test_the_first_failure_stays_the_last_one_moves() -> None:
    once = properties_failed(received(BasicProperties()), FAILURE, NOON)
    twice = properties_failed(received(once), FAILURE, NOON + timedelta(hours=1))
    assert twice.headers is not None
    assert twice.headers["x-leveret-attempt"] == 2
    assert twice.headers["x-leveret-first-failure"] == NOON
    assert twice.headers["x-leveret-last-failure"] == NOON + timedelta(hours=1)


def test_what_acts_on_the_broker_is_not_repeated() -> None:
    headers: dict[str, object] = {"CC": ["elsewhere"], "BCC": ["there"], "x-delivery-count": 1}
    after = properties_failed(received(BasicProperties(headers=headers, user_id="somebody")), FAILURE, NOON)
    assert after.headers is not None
    assert not {"CC", "BCC", "x-delivery-count"} & set(after.headers)
    assert after.user_id is None


def test_a_parked_message_is_persistent_does_not_expire_and_says_why_and_whence() -> None:
    before = BasicProperties(delivery_mode=1, expiration="60000")
    after = properties_parked(received(before), FAILURE, "attempts", NOON)
    assert (after.delivery_mode, after.expiration) == (2, None)
    assert after.headers is not None
    assert (after.headers["x-leveret-reason"], after.headers["x-leveret-queue"]) == ("attempts", "q")


def test_a_message_that_came_back_has_one_crash_more_which_an_ordinary_failure_forgets() -> None:
    delivery: Any = FakeDelivery(BasicProperties(headers={"mine": 1, "x-leveret-crashes": 2}), redelivered=True)
    back = Message.of("q", delivery)
    assert (back.crashes, back.redelivered, back.attempt) == (3, True, 1)
    copy = received(properties_crashed(back))
    assert (copy.crashes, copy.redelivered, dict(copy.headers)) == (3, True, {"mine": 1, "x-leveret-crashes": 3})
    failed = received(properties_failed(copy, FAILURE, NOON))
    assert (failed.crashes, failed.redelivered, failed.attempt) == (0, False, 2)


def test_a_failure_keeps_the_end_of_a_long_traceback() -> None:
    def fall(depth: int) -> None:
        if depth == 0:
            raise ValueError("x" * 100_000)
        fall(depth - 1)

    with pytest.raises(ValueError) as caught:
        fall(3)
    failure = Failure.of(caught.value)
    assert (failure.exception, len(failure.text), len(failure.traceback)) == (
        "ValueError",
        500,
        TRACEBACK_CHARACTERS_MAX,
    )


def test_a_failure_survives_an_exception_that_cannot_be_printed() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    failure = Failure.of(Mute())
    assert failure.exception.endswith("Mute")
    assert "RuntimeError" in failure.text


def test_the_current_message_is_that_of_the_running_task_only() -> None:
    message = received(BasicProperties())
    assert current_message() is None
    with running(TaskContext(message)):
        assert current_message() is message
    assert current_message() is None


def test_what_was_not_even_tried_keeps_the_story_of_its_last_try() -> None:
    told = {
        "x-leveret-attempt": 3,
        "x-leveret-exception": "ValueError",
        "x-leveret-traceback": "here",
        "x-leveret-error": "x",
    }
    message = received(BasicProperties(headers=told))
    refused = Failure("leveret.errors.TaskError", "3 attempts failed", "", tried=False)
    headers = properties_parked(message, refused, "attempts", NOON).headers
    assert headers is not None and told.items() <= headers.items()


def test_a_text_that_no_header_can_hold_is_replaced() -> None:
    failure = Failure.of(ValueError("\ud83d"))
    assert failure.text == "?" and "\ud83d" not in failure.traceback
