"""Declaring tasks and consumer functions: no broker is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

import leveret
import leveret.tasks
from leveret.errors import TaskError
from leveret.tasks import Message, Retries, WorkQueue


def test_a_task_is_still_its_function() -> None:
    work = WorkQueue()

    @work.task
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    assert add(1, 2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")


def test_a_task_is_named_after_its_function_without_the_module() -> None:
    work = WorkQueue(default_queue="d")

    @work.task
    def one() -> None: ...

    @work.task(name="other", queue="q", retry=Retries(attempts=5))
    async def two() -> None: ...

    assert (one.name, one.queue, one.retries.attempts, one.is_async) == ("one", "d", 10, False)
    assert (two.name, two.queue, two.retries.attempts, two.is_async) == ("other", "q", 5, True)
    assert work.queues() == ["d", "q"]
    assert work.handler("d", "other") is two


def test_a_functions_own_attributes_do_not_disturb_its_task() -> None:
    def tagged() -> None: ...

    tagged.queue = "mine"  # type: ignore[attr-defined]
    assert WorkQueue().task(tagged).queue == "default"


def test_a_consumer_takes_everything_of_its_queue_and_nothing_else() -> None:
    work = WorkQueue()

    @work.consumer("plain")
    def take(body: bytes, message: Message) -> None: ...

    assert work.handler("plain", "whatever") is take
    assert work.handler("default", "") is None


@pytest.mark.parametrize("attempts", [0, -1])
def test_a_task_is_tried_at_least_once(attempts: int) -> None:
    with pytest.raises(TaskError, match="at least once"):
        Retries(attempts=attempts)


def test_two_tasks_of_one_name_are_refused() -> None:
    work = WorkQueue()
    work.task(print)
    with pytest.raises(TaskError, match="two tasks 'print'"):
        work.task(print)


def test_tasks_and_a_consumer_do_not_share_a_queue() -> None:
    work = WorkQueue()
    work.task(queue="a")(print)
    with pytest.raises(TaskError, match="used by tasks"):
        work.consumer("a")(lambda body: None)
    work.consumer("b")(lambda body: None)
    with pytest.raises(TaskError, match="consumer function"):
        work.task(queue="b", name="other")(print)
    with pytest.raises(TaskError, match="already"):
        work.consumer("b")(lambda body: None)


@pytest.mark.parametrize("function", [lambda: None, lambda a, b, c: None])
def test_a_consumer_function_takes_a_body_or_a_body_and_a_message(function: object) -> None:
    with pytest.raises(TaskError, match=r"\(body\) or \(body, message\)"):
        WorkQueue().consumer("q")(function)  # type: ignore[arg-type]


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TaskError, match="no function"):
        WorkQueue().task("queue")  # type: ignore[call-overload]


def test_what_tells_no_parameters_is_no_task() -> None:
    with pytest.raises(TaskError, match="tells no parameters"):
        WorkQueue().task(name="number")(int)


def test_a_task_takes_messages_of_its_former_names() -> None:
    work = WorkQueue()
    task = work.task(name="resize_image", aliases=("resize",))(print)
    assert work.handler("default", "resize") is task and work.handler("default", "resize_image") is task
    for taken in ("resize", "resize_image"):
        with pytest.raises(TaskError, match=f"two tasks '{taken}'"):
            work.task(name=taken)(print)
    with pytest.raises(TaskError, match="two tasks 'resize'"):
        work.task(name="other", aliases=("resize",))(print)


def test_what_programs_need_is_at_the_top_of_the_package_and_loaded_when_it_is_asked_for() -> None:
    code = "import sys, leveret; assert 'leveret.tasks' not in sys.modules; from leveret import WorkQueue, current_task"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in leveret.__all__:
        assert getattr(leveret, name) is getattr(leveret.tasks, name)
    with pytest.raises(AttributeError, match="no attribute 'Hare'"):
        _ = leveret.Hare


def test_an_option_that_there_is_not_is_a_type_error_that_names_those_there_are() -> None:
    work = WorkQueue("amqp://nowhere")
    with pytest.raises(TypeError, match=r"no option 'qeue'; it has aliases, cancellable"):
        work.task(qeue="slow")  # type: ignore[call-overload]
    task = work.task(lambda: None, name="none")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"no option 'dealy'"):
        task.options(dealy=3)
