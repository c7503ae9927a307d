"""What may be said of a task's limits, and what its messages and queues are called then. No broker."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from leveret.errors import TaskError
from leveret.tasks import Concurrency, Rate, Retries, Unique, WorkQueue
from leveret.tasks.lane import FAIR, Lane
from leveret.tasks.limits import named

ID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.fixture
def work() -> WorkQueue:
    return WorkQueue("amqp://nobody@nowhere.invalid", retry=Retries(1))


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("ann", "ann"),
        ("", ""),
        ("ä b", "ä b"),
        (7, "7"),
        (None, "null"),
        (True, "true"),
        (ID, str(ID)),
        (Path("/a/b"), "/a/b"),
        ([1, "x"], '[1,"x"]'),
        ("x" * 255, "x" * 255),
        ("x" * 256, "sha256=" + sha256(b"x" * 256).hexdigest()),
    ],
)
def test_a_key_is_text_as_it_is_and_anything_else_as_its_json(work: WorkQueue, value: object, key: str) -> None:
    @work.task(rate=Rate(1, key=lambda: value))
    def one() -> None: ...

    found = work._parcel(one.call())[0].properties.headers
    assert found is not None
    assert found["x-leveret-rate-key"] == key


def test_the_key_is_the_parameter_s_however_it_was_given(work: WorkQueue) -> None:
    @work.task(concurrency=Concurrency(1, key="customer"))
    def mail(text: str, customer: str = "nobody") -> None: ...

    for call, key in (
        (mail.call("x", "ann"), "ann"),
        (mail.call("x", customer="bob"), "bob"),
        (mail.call("x"), "nobody"),
    ):
        assert work._parcel(call)[0].properties.headers == {"x-leveret-concurrency-key": key}


def test_a_task_without_limits_has_no_headers_for_them(work: WorkQueue) -> None:
    @work.task
    def plain() -> None: ...

    @work.task(rate=Rate(1), concurrency=Concurrency(1), unique=Unique(for_s=1))
    def keyless() -> None: ...

    assert work._parcel(plain.call())[0].properties.headers is None
    assert work._parcel(keyless.call())[0].properties.headers is None


def test_a_task_that_is_delayed_or_scheduled_needs_no_lane(work: WorkQueue) -> None:
    @work.task(fair="customer")
    def mail(customer: str) -> None: ...

    assert work._parcel(mail.call("ann"))[0].lane is not None
    delayed, _ = work._parcel(mail.options(delay=5).call("ann"))
    assert delayed.lane is None
    assert (delayed.properties.headers or {})["x-leveret-fair-key"] == "ann"


def test_a_delay_makes_a_lock_last_longer(work: WorkQueue) -> None:
    @work.task(unique=Unique("customer", until_done=True, kept_s=10))
    def mail(customer: str) -> None: ...

    lock = work._parcel(mail.options(delay=5).call("ann"))[0].lock
    assert lock is not None and lock.kept_ms == 15_000
    with pytest.raises(TaskError, match="longer than"):
        work._parcel(mail.options(delay=50 * 24 * 3600).call("ann"))


@pytest.mark.parametrize(
    "said", [{"fair": "nobody"}, {"rate": Rate(1, key="nobody")}, {"unique": Unique("x", for_s=1)}]
)
def test_a_key_that_is_no_parameter_is_refused_when_the_task_is_declared(
    work: WorkQueue, said: dict[str, object]
) -> None:
    with pytest.raises(TaskError, match="no parameter"):

        @work.task(**said)  # type: ignore[call-overload]
        def mail(customer: str) -> None: ...


def test_a_key_that_cannot_be_written_is_refused_when_the_task_is_sent(work: WorkQueue) -> None:
    @work.task(rate=Rate(1, key=lambda: object()))
    def mail() -> None: ...

    with pytest.raises(TaskError, match="JSON"):
        mail.send()


@pytest.mark.parametrize("make", [lambda: Concurrency(0), lambda: Concurrency(-1), lambda: Rate(0)])
def test_a_limit_that_lets_nothing_run_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(TaskError):
        make()


def test_names_are_told_apart_and_fit_whatever_the_key() -> None:
    hostile = ["", ".", "a.b", "a", "%2E", "=", "ä" * 100, "\0", "*#", "x" * 255, "y" * 255, "é" * 127]
    names = {Lane.of("q" * 240, FAIR, key).name for key in hostile}
    names |= {Lane.of("q", FAIR, key).name for key in hostile}
    names |= {named("leveret.limit.", "task", key) for key in hostile}
    assert len(names) == 3 * len(hostile)
    assert all(len(one.encode()) <= 255 and one.isascii() and one.isprintable() for one in names)
    assert all(len(Lane.of("q" * 240, FAIR, key).bell.encode()) <= 255 for key in hostile)
