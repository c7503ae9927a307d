"""What can be said of a worker, and what cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.errors import TaskError
from leveret.tasks import WorkQueue
from leveret.tasks.options import WorkerOptions
from leveret.worker import main
from leveret.worker.options import Options


def test_every_option_has_a_default() -> None:
    assert WorkerOptions.__annotations__.keys() == set(Options._fields)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"processes": 0}, "at least one process"),
        ({"threads": 0}, "1 to 65535"),
        ({"shutdown_timeout_s": float("nan")}, "seconds"),
        ({"max_tasks": -1}, "0 or more"),
        ({"health_port": 65_536}, "a port"),
        ({"log_format": "xml"}, "text or json"),
        ({"log_level": "loud"}, "debug, info"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TaskError, match=text):
        main("app", **given)


def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="a worker has no option 'proceses'"):
        WorkQueue().run(proceses=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("given", [{"processes": 2}, {"reload": True}])
def test_other_processes_have_to_find_the_program(given: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match="top level"):
        WorkQueue("amqp://localhost").run(**given)
