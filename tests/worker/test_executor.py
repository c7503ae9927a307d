"""One message through the steps, without broker, threads or clock."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from leveret.client import BasicProperties
from leveret.errors import TaskError
from leveret.tasks import (
    Done,
    Failed,
    Message,
    Middleware,
    Outcome,
    Parked,
    Reject,
    Retries,
    Retry,
    TaskContext,
    WorkQueue,
    current_message,
)
from leveret.tasks.message import DELIVERIES_MAX
from leveret.worker.executor import Job, find, perform, perform_async


def message(task: str, body: bytes = b"{}", attempt: int = 1, readable: bool = True) -> Message:
    return Message("default", body, BasicProperties(type=task), attempt, False, readable)


def ticks() -> Callable[[], float]:
    """A clock that goes forward by 2 s each time it is read."""
    times: Iterator[int] = iter(range(0, 1000, 2))
    return lambda: next(times)


def outcome_of(function: Callable[..., Any], body: bytes = b"{}", attempt: int = 1, *hooks: Middleware) -> Outcome:
    handler = WorkQueue(retry=Retries(3)).task(name="t")(function)
    job = Job(TaskContext(message("t", body, attempt)), handler, hooks, clock=ticks())
    return asyncio.run(perform_async(job)) if handler.is_async else perform(job)


class Record(Middleware):
    def __init__(self, name: str, said: list[str], fail: str = "") -> None:
        self.name, self.said, self.fail = name, said, fail

    def before(self, message: Message) -> None:
        self.said.append(f"{self.name} before {message.task}")
        if self.fail == "before":
            raise ValueError(self.name)

    def after(self, message: Message, outcome: Outcome) -> None:
        self.said.append(f"{self.name} after {type(outcome).__name__}")
        if self.fail == "after":
            raise ValueError(self.name)


def boom() -> None:
    raise ValueError("no good")


async def boom_async() -> None:
    raise ValueError("no good")


def test_a_plain_function_is_called_and_done() -> None:
    assert outcome_of(lambda a, b: a + b, b'{"args": [1, 2]}') == Done(3, 2)


def test_an_async_function_is_awaited_and_done() -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    assert outcome_of(add, b'{"args": [1, 2]}') == Done(3, 2)


@pytest.mark.parametrize("function", [boom, boom_async])
def test_what_raises_has_failed_and_its_traceback_begins_in_the_function(function: Callable[..., Any]) -> None:
    outcome = outcome_of(function)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.exception, outcome.failure.text, outcome.took_s) == ("ValueError", "no good", 2)
    assert f"in {function.__name__}" in outcome.failure.traceback
    assert "worker/executor.py" not in outcome.failure.traceback.replace(__file__, "")


@pytest.mark.parametrize("function", [boom, boom_async])
@pytest.mark.parametrize("attempt", [3, 4])
def test_the_last_attempt_that_fails_is_parked(function: Callable[..., Any], attempt: int) -> None:
    outcome = outcome_of(function, b"{}", attempt)
    assert isinstance(outcome, Parked)
    assert (outcome.reason, outcome.failure.exception) == ("attempts", "ValueError")


def test_a_failed_attempt_waits_twice_as_long_as_the_one_before() -> None:
    retries = Retries(attempts=99, first_s=2, max_s=30)
    error = ValueError()
    assert [retries.delay_s(error, failed, lambda: 1.0) for failed in (1, 2, 3, 4, 5, 98)] == [2, 4, 8, 16, 30, 30]
    assert retries.delay_s(error, 3, lambda: 0.0) == 4


THREE = Retries(3)


def raising(error: BaseException, retries: Retries = THREE, attempt: int = 1) -> Outcome:
    def task() -> None:
        raise error

    return perform(Job(TaskContext(message("t", attempt=attempt)), WorkQueue(retry=retries).task(name="t")(task)))


def test_a_task_can_say_when_to_try_again() -> None:
    outcome = raising(Retry("busy", after=timedelta(minutes=1)), Retries(3, never=(Exception,)))
    assert isinstance(outcome, Failed)
    assert (outcome.delay_s, outcome.failure.text) == (60, "busy")
    assert isinstance(raising(Retry(after=1), attempt=3), Parked)
    with pytest.raises(TaskError, match="past"):
        Retry(after=-1)


def test_a_task_can_say_that_trying_again_is_no_use() -> None:
    outcome = raising(Reject("the page is gone"))
    assert isinstance(outcome, Parked)
    assert (outcome.reason, outcome.failure.text) == ("rejected", "the page is gone")


@pytest.mark.parametrize(
    ("retries", "error", "again"),
    [
        (Retries(never=(ValueError,)), ValueError(), False),
        (Retries(never=(ValueError,)), UnicodeError(), False),
        (Retries(never=(ValueError,)), KeyError(), True),
        (Retries(only=(OSError,)), ConnectionResetError(), True),
        (Retries(only=(OSError,)), KeyError(), False),
        (Retries(only=(OSError,), never=(FileNotFoundError,)), FileNotFoundError(), False),
    ],
)
def test_some_exceptions_are_not_tried_again(retries: Retries, error: Exception, again: bool) -> None:
    outcome = raising(error, retries)
    assert isinstance(outcome, Failed if again else Parked)
    assert again or outcome.reason == "not-retried"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_no_exception_ends_the_worker(error: BaseException) -> None:
    def leave() -> None:
        raise error

    async def leave_async() -> None:
        raise error

    for function in (leave, leave_async):
        outcome = outcome_of(function)
        assert isinstance(outcome, Failed)
        assert outcome.failure.exception.endswith(type(error).__name__)


def test_an_async_task_that_the_worker_cancels_has_no_outcome() -> None:
    async def scenario() -> None:
        entered = asyncio.Event()

        async def forever() -> None:
            entered.set()
            await asyncio.Event().wait()

        handler = WorkQueue().task(forever)
        running = asyncio.create_task(perform_async(Job(TaskContext(message("forever")), handler)))
        await entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


def test_a_wrapped_async_function_does_not_pass_for_done() -> None:
    async def work() -> None: ...

    @functools.wraps(work)
    def wrapped() -> Any:
        return work()

    outcome = outcome_of(lambda: wrapped())
    assert isinstance(outcome, Failed)
    assert "async def" in outcome.failure.text


def test_arguments_that_do_not_fit_are_parked_at_once_without_a_call() -> None:
    called: list[int] = []

    def task(number: int) -> None:
        called.append(number)

    said: list[str] = []
    outcome = outcome_of(task, b'{"args": ["x"]}', 1, Record("a", said))
    assert isinstance(outcome, Parked)
    assert (outcome.reason, called, said) == ("arguments", [], [])
    assert "Expected `int`, got `str`" in outcome.failure.text


def test_hooks_go_around_the_task_in_and_out() -> None:
    said: list[str] = []
    outcome_of(lambda: said.append("task"), b"{}", 1, Record("a", said), Record("b", said))
    assert said == ["a before t", "b before t", "task", "b after Done", "a after Done"]


def test_a_before_hook_that_raises_fails_the_attempt() -> None:
    said: list[str] = []
    outcome = outcome_of(lambda: said.append("task"), b"{}", 1, Record("a", said, "before"))
    assert isinstance(outcome, Failed)
    assert said == ["a before t"]


def test_an_after_hook_that_raises_undoes_nothing() -> None:
    said: list[str] = []
    outcome = outcome_of(lambda: 1, b"{}", 1, Record("a", said), Record("b", said, "after"))
    assert isinstance(outcome, Done)
    assert said[-1] == "a after Done"


def test_the_task_sees_its_message() -> None:
    seen: list[Message | None] = []

    async def look() -> None:
        seen.append(current_message())

    outcome_of(look)
    outcome_of(lambda: seen.append(current_message()), b"{}", 2)
    assert [one and one.attempt for one in seen] == [1, 2]


def test_an_unknown_task_is_parked() -> None:
    outcome = find(WorkQueue(), message("nobody"))
    assert isinstance(outcome, Parked)
    assert (outcome.reason, "nobody" in outcome.failure.text) == ("unknown-task", True)


def test_a_message_that_took_its_workers_with_it_is_parked_unrun() -> None:
    work = WorkQueue(retry=Retries(3))
    work.task(boom)
    assert find(work, message("boom", attempt=3)) is work.tasks["boom"]
    outcome = find(work, message("boom", attempt=4))
    assert isinstance(outcome, Parked)
    assert outcome.reason == "attempts"


def test_unreadable_properties_are_parked() -> None:
    outcome = find(WorkQueue(), message("boom", readable=False))
    assert isinstance(outcome, Parked)
    assert outcome.reason == "properties"


def test_a_consumer_function_gets_the_body_as_it_came_and_the_message_if_it_asks() -> None:
    work = WorkQueue()
    seen: list[Any] = []
    one = work.consumer("one")(lambda body: seen.append(body))
    two = work.consumer("two")(lambda body, message: seen.append((body, message.queue)))
    perform(Job(TaskContext(message("", b"\x00 no json")), one))
    perform(Job(TaskContext(message("", b"x")), two))
    assert seen == [b"\x00 no json", (b"x", "default")]


def test_an_object_that_works_later_is_no_result() -> None:
    outcome = outcome_of(lambda: (number for number in range(3)))
    assert isinstance(outcome, Failed) and "generator" in outcome.failure.text


def test_a_function_that_yields_is_no_task() -> None:
    def plain() -> Iterator[int]:
        yield 1

    async def later() -> Any:
        yield 1

    for function in (plain, later):
        with pytest.raises(TaskError, match="yields"):
            WorkQueue().task(function)


def test_a_hook_or_an_argument_that_exits_ends_the_task_and_not_the_worker() -> None:
    class Exits(Middleware):
        def before(self, message: Message) -> None:
            raise SystemExit(3)

    assert isinstance(outcome_of(lambda: None, b"{}", 1, Exits()), Failed)


def test_a_message_that_came_back_too_often_is_not_tried_again() -> None:
    work = WorkQueue()
    work.task(lambda: None, name="t")
    often = replace(message("t"), deliveries=DELIVERIES_MAX + 1)
    assert isinstance(find(work, often), Parked)
    assert not isinstance(find(work, replace(often, deliveries=DELIVERIES_MAX)), Parked)
