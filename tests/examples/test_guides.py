"""The programs in docs/from-celery.md and docs/from-pika.md run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker
from examples.programs import EXAMPLES, leveret_worker

SEND_S = 60
QUEUES = ("shop", "task_queue", "task_queue.dead", "pictures")


@pytest.fixture(autouse=True)
def no_queues(channel: BlockingChannel) -> None:
    """The guides' queues have names of their own: nothing of a test before is in them."""
    for queue in QUEUES:
        channel.queue_delete(queue)


@pytest.fixture
def environment(broker: Broker) -> dict[str, str]:
    return {"LEVERET_URL": broker.url}


def blocks(page: str) -> list[str]:
    text = (EXAMPLES.parent / "docs" / page).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(program: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SEND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_program_that_came_from_celery(environment: dict[str, str], tmp_path: Path) -> None:
    _, tasks, sender = blocks("from-celery.md")
    (tmp_path / "shop.py").write_text(tasks)
    (tmp_path / "hare.txt").write_text("leveret")
    (tmp_path / "tortoise.txt").write_text("slow")
    run(sender, tmp_path, environment)
    with leveret_worker("shop", tmp_path, environment, "--threads", "1") as worker:
        said = sorted(worker.word("measured") for _ in range(3))
    assert said == ["hare.txt 7 in attempt 1", "hare.txt 7 in attempt 1", "tortoise.txt 4 in attempt 1"]


def test_a_consumer_function_takes_what_pika_publishes(
    environment: dict[str, str], tmp_path: Path, channel: BlockingChannel
) -> None:
    (tmp_path / "worker.py").write_text(blocks("from-pika.md")[0])
    channel.queue_declare("task_queue", durable=True)
    for body in (b"", b"hare"):
        channel.basic_publish("", "task_queue", body, pika.BasicProperties(delivery_mode=2))
    with leveret_worker("worker", tmp_path, environment, "--threads", "1") as worker:
        worker.until(lambda line: "parked" in line and "reason=rejected" in line)
        assert "took hare in attempt 1" in worker.said or worker.word("took") == "hare in attempt 1"
    channel.queue_declare("task_queue.dead", durable=True)
    for _, properties, _ in channel.consume("task_queue.dead", auto_ack=True, inactivity_timeout=30):
        assert properties is not None and properties.headers["x-leveret-error"] == "there is nothing in it"
        break


def test_tasks_instead_of_bytes(environment: dict[str, str], tmp_path: Path) -> None:
    _, tasks, sender, _ = blocks("from-pika.md")
    (tmp_path / "pictures.py").write_text(tasks)
    run(sender, tmp_path, environment)
    with leveret_worker("pictures", tmp_path, environment) as worker:
        assert worker.word("resized") == "hare.png to 200"


def test_the_client_alone(environment: dict[str, str], tmp_path: Path) -> None:
    assert run(blocks("from-pika.md")[-1], tmp_path, environment) == "got hare\n"
