"""Huey. A task leaves Redis when a worker takes it: there is no acknowledgement, and no more reliable setting.

Results are waited for by notification (`notify_result`) instead of by polling, which is quicker.
"""

from typing import Any

from effect import QUEUE, RESULTS_URL, URL
from effect import work as effect
from huey import RedisHuey

huey = RedisHuey(QUEUE, url=URL, **({"notify_result": True} if RESULTS_URL else {}))
task = huey.task()(effect)


def send(number: int, sleep_ms: int) -> Any:
    return task(number, sleep_ms)


def result(sent: Any, timeout_s: float) -> Any:
    return sent.get(blocking=True, timeout=timeout_s)
