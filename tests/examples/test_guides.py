"""The programs in docs/from-celery.md and docs/from-pika.md run as they stand there."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from examples.programs import leveret_worker
from examples.snippets import run, runs

QUEUES = ("shop", "task_queue", "task_queue.dead", "pictures", "celery")


@pytest.fixture(autouse=True)
def no_queues(channel: BlockingChannel) -> None:
    """The guides' queues have names of their own: nothing of a test before is in them."""
    for queue in QUEUES:
        channel.queue_delete(queue)


@runs("from-celery.md", 0)
def test_the_program_that_celery_runs(
    blocks: list[str], broker: Broker, tmp_path: Path, channel: BlockingChannel
) -> None:
    head = "from pathlib import Path\nfrom celery import Celery\n"
    run(head + blocks[0].replace("amqp://localhost//", broker.url), tmp_path)
    got = [
        properties.headers["task"] for _ in range(2) if (properties := channel.basic_get("celery", auto_ack=True)[1])
    ]
    assert len(got) == 2 and all(name.endswith("measure") for name in got)


@runs("from-celery.md", 1, 2)
def test_the_program_that_came_from_celery(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    tasks, sender = blocks
    (tmp_path / "shop.py").write_text(tasks)
    (tmp_path / "hare.txt").write_text("leveret")
    (tmp_path / "tortoise.txt").write_text("slow")
    run(sender, tmp_path, environment)
    with leveret_worker("shop", tmp_path, environment, "--threads", "1") as worker:
        said = sorted(worker.word("measured") for _ in range(3))
    assert said == ["hare.txt 7 in attempt 1", "hare.txt 7 in attempt 1", "tortoise.txt 4 in attempt 1"]


@runs("from-pika.md", 0)
def test_a_consumer_function_takes_what_pika_publishes(
    blocks: list[str], environment: dict[str, str], tmp_path: Path, channel: BlockingChannel
) -> None:
    (tmp_path / "worker.py").write_text(blocks[0])
    channel.queue_declare("task_queue", durable=True)
    for body in (b"", b"hare"):
        channel.basic_publish("", "task_queue", body, pika.BasicProperties(delivery_mode=2))
    with leveret_worker("worker", tmp_path, environment, "--threads", "1") as worker:
        worker.until(lambda line: "parked" in line and "reason=rejected" in line)
        assert "took hare in attempt 1" in worker.said or worker.word("took") == "hare in attempt 1"
    channel.queue_declare("task_queue.dead", durable=True)
    for _, properties, _ in channel.consume("task_queue.dead", auto_ack=True, inactivity_timeout=60):
        assert properties is not None and properties.headers["x-leveret-error"] == "there is nothing in it"
        break


@runs("from-pika.md", 1, 2)
def test_tasks_instead_of_bytes(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    tasks, sender = blocks
    (tmp_path / "pictures.py").write_text(tasks)
    run(sender, tmp_path, environment)
    with leveret_worker("pictures", tmp_path, environment) as worker:
        assert worker.word("resized") == "hare.png to 200"


@runs("from-pika.md", 3)
def test_the_client_alone(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    assert run(blocks[0], tmp_path, environment) == "got hare\n"
