"""Messages of an older version of a task: turned into a call of today, or told why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from brokers import Broker
from leveret.client import BasicProperties
from leveret.errors import TaskError, TaskFailed
from leveret.tasks import Call, Message, Retries, Task, WorkQueue, inject
from leveret.tasks.message import VERSION
from leveret.testing.harness import harness
from worker.support import WITHIN_S, working


@dataclass
class Size:
    width: int
    height: int


def resizing(work: WorkQueue, version: int = 3) -> Task[..., Any, str]:
    @work.task(version=version)
    def resize(path: Path, size: Size) -> str:
        return f"{path} {size.width}x{size.height}"

    return resize


@pytest.fixture
def resize() -> Task[..., Any, str]:
    task = resizing(WorkQueue())

    @task.accepts(version=1)
    def _(name: str, width: int = 100) -> Call[str]:
        return task.call(Path(name), Size(width, width))

    @task.accepts(version=2)
    def _(path: Path, width: int, height: int) -> Call[str]:
        if width > 1000:
            raise ValueError("too wide")
        return task.call(path, Size(width, height))

    return task


def message(body: bytes, version: object = None) -> Message:
    headers = None if version is None else {VERSION: version}
    return Message("q", body, BasicProperties(type="resize", headers=headers), 1, False)


@pytest.mark.parametrize(
    ("version", "body", "size"),
    [
        (None, b'{"args": ["p"]}', Size(100, 100)),
        (1, b'{"args": ["p"], "kwargs": {"width": 5}}', Size(5, 5)),
        (2, b'{"args": ["p", 5, 7]}', Size(5, 7)),
        (3, b'{"args": ["p", {"width": 5, "height": 7}]}', Size(5, 7)),
        ("odd", b'{"args": ["p"]}', Size(100, 100)),
    ],
)
def test_each_version_is_read_by_its_own_parameters(
    resize: Task[..., Any, str], version: object, body: bytes, size: Size
) -> None:
    assert resize.arguments(message(body, version)) == ((Path("p"), size), {})


@pytest.mark.parametrize(
    ("version", "body", "complaint"),
    [
        (1, b'{"args": ["p", {"width": 5, "height": 7}]}', "'resize, version 1': argument 'width' does not fit"),
        (2, b'{"args": ["p"]}', "'resize, version 2' takes .*: missing a required argument: 'width'"),
        (3, b'{"args": ["p"]}', "'resize' takes"),
        (4, b'{"args": ["p"]}', "the message is of version 4, this program knows 1, 2, 3"),
    ],
)
def test_what_does_not_fit_its_own_version_is_refused(
    resize: Task[..., Any, str], version: int, body: bytes, complaint: str
) -> None:
    resize.check()
    with pytest.raises(TaskError, match=complaint):
        resize.arguments(message(body, version))


def test_a_call_says_its_version_unless_it_is_the_first(resize: Task[..., Any, str]) -> None:
    assert resize.call(Path("p"), Size(1, 1)).version == 3
    work = WorkQueue()
    work.schedule(every=60, args=("p", Size(1, 1)))(resizing(work, 2))
    schedule = work.schedules["resize"]
    scheduled = work.scheduled(schedule, datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert (scheduled.properties.headers or {})[VERSION] == 2
    parcel, _ = work._parcel(work.task(name="plain")(lambda: None).call())
    assert parcel.properties.headers is None


def test_what_makes_no_sense_is_refused_when_the_program_starts(resize: Task[..., Any, str]) -> None:
    for version in (0, 3, 4):
        with pytest.raises(TaskError, match="only once it says a higher version"):
            resize.accepts(version)(lambda: resize.call(Path(), Size(1, 1)))
    with pytest.raises(TaskError, match="accepts version 1 already"):
        resize.accepts(1)(lambda: resize.call(Path(), Size(1, 1)))
    with pytest.raises(TaskError, match="nothing is injected"):
        resizing(WorkQueue(), 2).accepts(1)(lambda name=inject(): resize.call(Path(), Size(1, 1)))
    for wrong in (0, -1, True, 2**31):
        with pytest.raises(TaskError, match="versions count from 1"):
            WorkQueue().task(version=wrong)(print)


def test_what_accepts_a_version_returns_a_call_of_its_task() -> None:
    task = resizing(WorkQueue(), 2)
    task.accepts(1)(lambda: 5)  # type: ignore[arg-type, return-value]
    with pytest.raises(TaskError, match=r"has to return resize.call\(…\)"):
        task.arguments(message(b"{}"))


def test_an_annotation_that_cannot_be_read_is_told_before_a_message_is_taken() -> None:
    task = resizing(WorkQueue(), 2)

    @task.accepts(1)
    def _(name: Nowhere) -> Call[str]: ...  # type: ignore[name-defined, empty-body]  # noqa: F821

    with pytest.raises(TaskError, match="Nowhere"):
        task.check()


def test_a_worker_runs_what_an_older_program_sent_and_parks_what_nobody_understands(broker: Broker, name: str) -> None:
    options: dict[str, Any] = {"default_queue": f"versions.{name}", "retry": Retries(1), "results": True}
    old, newer, work = (WorkQueue(broker.url, **options) for _ in range(3))
    first = old.task(name="resize")(lambda name, width: None)
    fourth = newer.task(name="resize", version=4)(lambda: None)
    task = resizing(work)

    @task.accepts(version=1)
    def _(name: str, width: int) -> Call[str]:
        if width > 1000:
            raise ValueError("too wide")
        return task.call(Path(name), Size(width, width))

    with working(work):
        assert first.send("hare.png", 5).result(WITHIN_S) == "hare.png 5x5"
        assert task.send(Path("hare.png"), Size(5, 7)).result(WITHIN_S) == "hare.png 5x7"
        with pytest.raises(TaskFailed, match=r"\(arguments\): ValueError: too wide"):
            first.send("hare.png", 5000).result(WITHIN_S)
        with pytest.raises(TaskFailed, match=r"\(arguments\).*is of version 4, this program knows 1, 3"):
            fourth.send().result(WITHIN_S)
    for one in (old, newer):
        one.close()


def test_a_test_sees_the_call_of_today() -> None:
    work = WorkQueue("amqp://nobody@nowhere.invalid")
    task = resizing(work, 2)
    task.accepts(1)(lambda name: task.call(Path(name), Size(1, 1)))
    with harness(work) as work_queue:
        old = WorkQueue(work.url)
        old.task(name="resize")(lambda name: None).send("hare.png")
        old.close()
        work_queue.assert_enqueued(task, Path("hare.png"), Size(1, 1))
        assert len(work_queue.drain()) == 1
