"""What is injected into a function: declared by `inject(…)`, seen by no sender, and refused if it could never be given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from leveret.client import BasicProperties
from leveret.errors import TaskError
from leveret.tasks import Done, Failed, Message, Outcome, Retries, TaskContext, WorkQueue, inject
from leveret.worker.executor import Job, perform, perform_async

SAID: list[str] = []


@pytest.fixture(autouse=True)
def silence() -> None:
    SAID.clear()


class Session:
    def __init__(self, name: str = "session") -> None:
        self.name = name


def open_session() -> Iterator[Session]:
    SAID.append("open")
    try:
        yield Session()
    except ValueError as error:
        SAID.append(f"rolled back for {error}")
        return  # swallows it, as far as it can
    SAID.append("committed")


async def open_session_later() -> AsyncIterator[Session]:
    await asyncio.sleep(0)
    SAID.append("open")
    yield Session("later")
    await asyncio.sleep(0)
    SAID.append("committed")


def settings() -> dict[str, str]:
    SAID.append("read")
    return {"tax": "7%"}


async def fetched() -> str:
    await asyncio.sleep(0)
    return "fetched"


def outcome_of(
    work: WorkQueue, function: Callable[..., Any], body: bytes = b'{"args": [7]}', attempt: int = 1
) -> Outcome:
    handler = work.task(name="t")(function)
    handler.check()
    job = Job(TaskContext(Message("default", body, BasicProperties(type="t"), attempt, False)), handler)
    return asyncio.run(perform_async(job)) if handler.is_async else perform(job)


@pytest.fixture
def work() -> WorkQueue:
    return WorkQueue(retry=Retries(2))


def test_a_generator_gives_its_value_to_the_task_and_cleans_up_behind_it(work: WorkQueue) -> None:
    def charge(order: int, db: Session = inject(open_session)) -> str:
        SAID.append(f"charge {order} with {db.name}")
        return db.name

    outcome = outcome_of(work, charge)
    assert isinstance(outcome, Done) and outcome.value == "session"
    assert SAID == ["open", "charge 7 with session", "committed"]


def test_it_hears_of_a_failure_which_it_cannot_swallow(work: WorkQueue) -> None:
    def charge(order: int, db: Session = inject(open_session)) -> None:
        raise ValueError("no money")

    outcome = outcome_of(work, charge)
    assert isinstance(outcome, Failed) and outcome.failure.text == "no money"
    assert SAID == ["open", "rolled back for no money"]


def test_an_async_task_may_have_providers_of_all_kinds(work: WorkQueue) -> None:
    async def charge(
        order: int,
        *,
        db: Session = inject(open_session_later),
        other: Session = inject(open_session),
        tax: dict[str, str] = inject(settings),
        text: str = inject(fetched),
    ) -> list[str]:
        SAID.append("charge")
        return [db.name, other.name, tax["tax"], text]

    outcome = outcome_of(work, charge)
    assert isinstance(outcome, Done) and outcome.value == ["later", "session", "7%", "fetched"]
    assert SAID == ["open", "open", "read", "charge", "committed", "committed"]


def test_the_running_task_and_its_message_are_given_by_annotation(work: WorkQueue) -> None:
    def name_of(task: TaskContext = inject()) -> str:
        return task.name

    def charge(
        order: int, task: TaskContext = inject(), message: Message = inject(), name: str = inject(name_of)
    ) -> Any:
        return task.message is message, name

    outcome = outcome_of(work, charge)
    assert isinstance(outcome, Done) and outcome.value == (True, "t")


def test_who_is_needed_by_several_is_asked_once_in_a_task(work: WorkQueue) -> None:
    def repository(db: Session = inject(open_session)) -> Session:
        return db

    def charge(order: int, db: Session = inject(open_session), one: Session = inject(repository)) -> bool:
        return db is one

    outcome = outcome_of(work, charge)
    assert isinstance(outcome, Done) and outcome.value is True
    assert SAID == ["open", "committed"]


def test_what_belongs_to_the_process_is_made_once_and_again_if_it_could_not_be(work: WorkQueue) -> None:
    def engine() -> Iterator[str]:
        SAID.append("engine")
        if len(SAID) == 1:
            raise OSError("not yet")
        yield "engine"
        SAID.append("disposed")

    def charge(order: int, engine: str = inject(engine, scope="process")) -> str:
        return engine

    handler = work.task(name="t")(charge)
    job = lambda: Job(TaskContext(Message("default", b'{"args": [7]}', BasicProperties(), 1, False)), handler)  # noqa: E731
    work.providers.enter()
    assert [type(perform(job())) for _ in range(3)] == [Failed, Done, Done]
    assert SAID == ["engine", "engine"]
    work.providers.leave()
    assert SAID == ["engine", "engine", "disposed"]


def test_a_provider_that_fails_is_a_failed_attempt_and_so_is_a_clean_up(work: WorkQueue) -> None:
    def away() -> Session:
        raise OSError("the database is away")

    def dirty() -> Iterator[int]:
        yield 1
        raise OSError("not committed")

    def charge(order: int, tidy: Session = inject(open_session), db: Session = inject(away)) -> None: ...

    def refund(order: int, number: int = inject(dirty)) -> None: ...

    for function, text in ((charge, "the database is away"), (refund, "not committed")):
        outcome = outcome_of(WorkQueue(), function)
        assert isinstance(outcome, Failed) and outcome.failure.tried and outcome.failure.text == text
    assert SAID == ["open"]


def test_a_test_may_replace_a_provider_and_what_it_kept_is_let_go(work: WorkQueue) -> None:
    def charge(
        order: int, db: Session = inject(open_session), tax: dict[str, str] = inject(settings, scope="process")
    ) -> Any:
        return db.name, tax["tax"]

    def no_tax() -> Iterator[dict[str, str]]:
        yield {"tax": "none"}
        SAID.append("let go")

    with work.override(open_session, lambda: Session("fake")), work.override(settings, no_tax):
        outcome = outcome_of(work, charge)
        assert isinstance(outcome, Done) and outcome.value == ("fake", "none")
        assert SAID == []
    assert SAID == ["let go"]
    outcome = outcome_of(WorkQueue(), charge)
    assert isinstance(outcome, Done) and outcome.value == ("session", "7%")


def test_no_sender_can_say_what_is_injected(work: WorkQueue) -> None:
    @work.task
    def charge(order: int, db: Session = inject(open_session)) -> None: ...

    assert charge.call(7).body == b'{"args":[7],"kwargs":{}}'
    with pytest.raises(TaskError, match="unexpected keyword argument 'db'"):
        charge.call(7, db=Session())
    outcome = outcome_of(WorkQueue(), charge.function, b'{"args": [7], "kwargs": {"db": 5}}')
    assert getattr(outcome, "reason", "") == "arguments"


def test_called_as_a_plain_function_it_wants_a_value(work: WorkQueue) -> None:
    @work.task
    def charge(order: int, db: Session = inject(open_session)) -> str:
        return db.name

    assert charge(7, db=Session("mine")) == charge(7, Session("mine")) == "mine"
    with pytest.raises(TaskError, match=r"charge is called without a worker, which would give it db"):
        charge(7)
    with pytest.raises(TypeError, match="order"):
        charge()  # type: ignore[call-arg]


def test_a_consumer_function_is_given_what_it_wants_too(work: WorkQueue) -> None:
    @work.consumer("readings")
    def take(body: bytes, db: Session = inject(open_session)) -> tuple[bytes, str]:
        return body, db.name

    outcome = perform(Job(TaskContext(Message("readings", b"x", BasicProperties(), 1, False)), take))
    assert isinstance(outcome, Done) and outcome.value == (b"x", "session")


def wants_async(order: int, db: Session = inject(open_session_later)) -> None: ...
def behind(order: int, db: Session = inject(open_session), *rest: int) -> None: ...
def between(order: int, db: Session = inject(open_session), width: int = 5) -> None: ...
def positional(order: int, db: Session = inject(open_session), /) -> None: ...
def nothing_known(order: int, db: Session = inject()) -> None: ...
def of_one_task(task: TaskContext = inject()) -> str: ...  # type: ignore[empty-body]
def narrow(db: Session = inject(open_session)) -> str: ...  # type: ignore[empty-body]
def too_wide(order: int, name: str = inject(of_one_task, scope="process")) -> None: ...
def too_wide_too(order: int, name: str = inject(narrow, scope="process")) -> None: ...


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (wants_async, "is async, and cannot be waited for in a plain function"),
        (behind, "'rest' stands behind what is injected"),
        (between, "'width' stands behind what is injected"),
        (positional, "is injected by name"),
        (nothing_known, r"db=inject\(\) gives a TaskContext or a Message"),
        (too_wide, "asked once in a process: it can be given no running task"),
        (too_wide_too, "is there for one task only"),
    ],
)
def test_what_could_never_be_given_is_refused_before_a_message_is_taken(
    work: WorkQueue, function: Callable[..., Any], complaint: str
) -> None:
    with pytest.raises(TaskError, match=complaint):
        work.task(function).check()


def test_a_provider_is_a_function_and_a_scope_one_of_two() -> None:
    with pytest.raises(TaskError, match="a provider is a function"):
        inject(5)  # type: ignore[call-overload]
    with pytest.raises(TaskError, match="expected 'task' or 'process'"):
        inject(settings, scope="thread")  # type: ignore[call-overload]


def test_a_replacement_that_needs_what_it_replaces_is_told_so(work: WorkQueue) -> None:
    def charge(order: int, tax: dict[str, str] = inject(settings)) -> None: ...

    def more(tax: dict[str, str] = inject(settings)) -> dict[str, str]:
        return tax

    with work.override(settings, more):
        outcome = outcome_of(work, charge)
    assert isinstance(outcome, Failed) and "needs itself" in outcome.failure.text
