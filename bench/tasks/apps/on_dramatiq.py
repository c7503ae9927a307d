"""Dramatiq. It acknowledges after the task by itself; reliable adds publisher confirms on RabbitMQ.

On Redis, what a lost worker held comes back once its heartbeat is over (60 s by default, 30 s when reliable), and one
command in so many has looked for it (in 1,000 by default, in 50 when reliable).
"""

from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from effect import QUEUE, REDIS, RELIABLE, RESULTS_URL, URL
from effect import work as effect

if REDIS:
    broker: Any = RedisBroker(
        url=URL, **({"heartbeat_timeout": 30_000, "maintenance_chance": 20_000} if RELIABLE else {})
    )
else:
    broker = RabbitmqBroker(url=URL, confirm_delivery=RELIABLE)
if RESULTS_URL:
    backend = RedisBackend(url=RESULTS_URL)
    broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)

task = dramatiq.actor(effect, queue_name=QUEUE, **({"store_results": True} if RESULTS_URL else {}))


def send(number: int, sleep_ms: int) -> Any:
    return task.send(number, sleep_ms)


def result(sent: Any, timeout_s: float) -> Any:
    return sent.get_result(backend=backend, block=True, timeout=int(timeout_s * 1000))
