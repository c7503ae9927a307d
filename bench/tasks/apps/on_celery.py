"""Celery. Reliable as its documentation has it: late acks, nothing prefetched, confirms, quorum queues on RabbitMQ.

On Redis, what a lost worker held comes back after the visibility timeout: an hour by default, 30 s when reliable.
"""

from typing import Any

from celery import Celery
from effect import QUEUE, REDIS, RELIABLE, RESULTS_URL, URL
from effect import work as effect

app = Celery("bench", broker=URL)
app.conf.task_default_queue = QUEUE
if RESULTS_URL:
    app.conf.result_backend = RESULTS_URL if REDIS else "rpc://"
if RELIABLE:
    app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
    app.conf.broker_transport_options = {"visibility_timeout": 30} if REDIS else {"confirm_publish": True}
    if not REDIS:
        app.conf.task_default_queue_type = "quorum"

task = app.task(effect, name="work")


def send(number: int, sleep_ms: int) -> Any:
    return task.delay(number, sleep_ms)


def result(sent: Any, timeout_s: float) -> Any:
    return sent.get(timeout=timeout_s)
