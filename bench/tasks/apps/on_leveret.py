"""Leveret, on its own broker or on RabbitMQ. It has one configuration, which is the reliable one."""

from typing import Any

from effect import QUEUE, RESULTS_URL, URL
from effect import work as effect

from leveret.tasks import Sent, WorkQueue

options: dict[str, Any] = {"results": True} if RESULTS_URL and hasattr(Sent, "result") else {}
work = WorkQueue(URL, default_queue=QUEUE, **options)
task = work.task(name="work")(effect)


def send(number: int, sleep_ms: int) -> Any:
    return task.send(number, sleep_ms)


def send_many(numbers: range) -> None:
    work.send_many(task.call(number, 0) for number in numbers)


if hasattr(Sent, "result"):

    def result(sent: Any, timeout_s: float) -> Any:
        return sent.result(timeout_s)
