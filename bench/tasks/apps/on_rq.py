"""RQ. Each job runs in a forked process of its own; reliable adds retries, for a job whose process was killed fails."""

from typing import Any

from effect import QUEUE, RELIABLE, URL, work
from redis import Redis
from rq import Queue, Retry

queue = Queue(QUEUE, connection=Redis.from_url(URL))


def send(number: int, sleep_ms: int) -> Any:
    return queue.enqueue(work, number, sleep_ms, retry=Retry(max=3) if RELIABLE else None)


def result(sent: Any, timeout_s: float) -> Any:
    return sent.latest_result(timeout=int(timeout_s)).return_value
