"""taskiq, its tasks coroutines. On RabbitMQ (quorum queue, confirms, ack at the end) it is reliable as it comes.

On Redis: a list without acknowledgements by default; reliable is the stream broker, which takes back what has been idle
(ten minutes by default, 30 s here). Results are polled for, five times a second by default, a hundred times here.
"""

from typing import Any

from effect import QUEUE, REDIS, RELIABLE, RESULTS_URL, URL, work_async
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.exchange import Exchange
from taskiq_aio_pika.queue import Queue
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

if not REDIS:
    broker: Any = AioPikaBroker(URL, task_queues=[Queue(name=QUEUE)], exchange=Exchange(name=QUEUE))
elif RELIABLE:
    broker = RedisStreamBroker(URL, queue_name=QUEUE, idle_timeout=30_000, unacknowledged_lock_timeout=30)
else:
    broker = ListQueueBroker(URL, queue_name=QUEUE)
if RESULTS_URL:
    broker = broker.with_result_backend(RedisAsyncResultBackend(RESULTS_URL))

task = broker.task(task_name="work")(work_async)


async def start() -> None:
    await broker.startup()


async def send(number: int, sleep_ms: int) -> Any:
    return await task.kiq(number, sleep_ms)


async def result(sent: Any, timeout_s: float) -> Any:
    return (await sent.wait_result(check_interval=0.01, timeout=timeout_s)).return_value


async def stop() -> None:
    await broker.shutdown()
