"""docs/message-format.md is true: strangers who know only that page send tasks, take them, and read dead letters."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from brokers import Broker
from examples.programs import EXAMPLES, Heard, leveret_worker
from examples.snippets import run, runs
from leveret.tasks import WorkQueue, ladder, message, outcome
from worker.support import declare, declare_filled

PAGE = (EXAMPLES.parent / "docs" / "message-format.md").read_text()
APP = """
import os
from datetime import datetime
from pathlib import Path
from leveret.tasks import Retries, WorkQueue

work = WorkQueue(default_queue=os.environ["QUEUE"])


@work.task(queue=os.environ.get("PICTURES"))
def resize(path: Path, width: int) -> None:
    print(f"resized {type(path).__name__} {path} {width}\\n", end="", flush=True)


@work.task(retry=Retries(attempts=2, first_s=0.1))
def fail(text: str) -> None:
    raise ValueError(text)
"""


@pytest.fixture
def worker(broker: Broker, name: str, tmp_path: Path) -> Iterator[Heard]:
    """What a Leveret worker says that reads the queue `name`, and `pictures`."""
    (tmp_path / "app.py").write_text(APP)
    environment = {"LEVERET_URL": broker.url, "QUEUE": name, "PICTURES": "pictures"}
    with leveret_worker("app", tmp_path, environment) as heard:
        yield heard


def block(language: str) -> str:
    """The page's first code block in that language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def sent_by_a_stranger(channel: BlockingChannel, queue: str, task: str, body: object, exchange: str = "") -> str:
    properties = pika.BasicProperties(type=task, message_id=str(uuid.uuid4()), delivery_mode=2)
    channel.confirm_delivery()
    if not exchange:
        declare(channel, queue)
    for last in (*[False] * 50, True):
        try:
            channel.basic_publish(exchange, queue, json.dumps(body).encode(), properties, mandatory=True)
            break
        except pika.exceptions.NackError:  # a quorum queue that has only just been declared refuses now and then
            if last:
                raise
    assert properties.message_id is not None
    return properties.message_id


def next_in(channel: BlockingChannel, queue: str) -> tuple[Any, bytes]:
    declare_filled(channel, queue)
    for method, properties, body in channel.consume(queue, inactivity_timeout=60):
        assert method is not None, f"nothing came into {queue}"
        channel.basic_ack(method.delivery_tag)
        return properties, body
    raise AssertionError("the consumer was cancelled")


def test_every_header_and_reason_stands_on_the_page() -> None:
    headers = {value for name, value in vars(message).items() if name.isupper() and str(value).startswith("x-leveret-")}
    reasons = (outcome.UNKNOWN_TASK, outcome.ARGUMENTS, outcome.PROPERTIES, outcome.ATTEMPTS)
    reasons += (outcome.CRASHES, outcome.REJECTED, outcome.NOT_RETRIED, outcome.WORKFLOW)
    assert [name for name in sorted(headers) if f"`{name}`" not in PAGE] == []
    assert [reason for reason in reasons if not re.search(rf"^    {reason} ", PAGE, re.MULTILINE)] == []


@runs("message-format.md", 0)
def test_the_page_s_program_sends_a_task_that_a_worker_runs(
    blocks: list[str], broker: Broker, worker: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_URL", broker.url)
    program = blocks[0]
    assert block("json").strip() in program
    run(program, tmp_path)
    assert worker.word("resized") == "PosixPath hare.png 200"


def test_a_sent_task_is_what_the_page_says(broker: Broker, name: str, channel: BlockingChannel) -> None:
    work = WorkQueue(broker.url, default_queue=name)

    @work.task(name="resize")
    def resize(path: Path, width: int) -> None: ...

    sent = resize.send(Path("hare.png"), width=200)
    work.close()
    properties, body = next_in(channel, name)
    assert json.loads(body) == json.loads(block("json"))
    assert (properties.type, properties.message_id) == ("resize", sent.id)
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert abs(properties.timestamp - time.time()) < 60


def test_a_parked_task_has_the_headers_the_page_names(worker: Heard, name: str, connection: BlockingConnection) -> None:
    channel = connection.channel()
    sent = sent_by_a_stranger(channel, name, "fail", {"args": ["no such hare"]})
    properties, body = next_in(channel, f"{name}.dead")
    headers = properties.headers
    assert (properties.message_id, json.loads(body)) == (sent, {"args": ["no such hare"]})
    assert (headers["x-leveret-attempt"], headers["x-leveret-reason"]) == (2, "attempts")
    assert (headers["x-leveret-exception"], headers["x-leveret-error"]) == ("ValueError", "no such hare")
    assert headers["x-leveret-queue"] == name
    assert headers["x-leveret-first-failure"] <= headers["x-leveret-last-failure"]
    assert "raise ValueError(text)" in headers["x-leveret-traceback"]


@pytest.mark.parametrize(
    ("task", "body", "reason"),
    [
        ("nobody", {}, "unknown-task"),
        ("resize", {"args": ["hare.png", "wide"]}, "arguments"),
        ("fail", [], "arguments"),
    ],
)
def test_what_cannot_be_run_is_parked_with_its_reason(
    worker: Heard, name: str, channel: BlockingChannel, task: str, body: object, reason: str
) -> None:
    sent_by_a_stranger(channel, name, task, body)
    properties, _ = next_in(channel, f"{name}.dead")
    assert properties.headers["x-leveret-reason"] == reason


# ---- delays, built here from the page alone

LOST = {"alternate-exchange": "leveret.undelivered"}
ON_RABBITMQ = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def declare_as_the_page_says(channel: BlockingChannel, queue: str, highest: int, more: dict[str, Any]) -> None:
    channel.exchange_declare("leveret.undelivered", "fanout", durable=True)
    channel.queue_declare("leveret.undelivered", durable=True)
    channel.queue_bind("leveret.undelivered", "leveret.undelivered")
    channel.exchange_declare("leveret.delayed", "topic", durable=True, arguments=LOST)
    for number in range(highest + 1):
        rung, below = f"leveret.delay.{number}", f"leveret.delay.{number - 1}" if number else "leveret.delayed"
        channel.exchange_declare(rung, "topic", durable=True, arguments=LOST)
        arguments = {"x-message-ttl": 100 * 2**number, "x-dead-letter-exchange": below, **more}
        channel.queue_declare(rung, durable=True, arguments=arguments)
        channel.queue_bind(rung, rung, "*." * (25 - number) + "1.#")
        channel.exchange_bind(below, rung, "*." * (25 - number) + "0.#")
    declare(channel, queue)
    channel.queue_bind(queue, "leveret.delayed", "*." * 26 + queue)


def test_the_key_on_the_page_is_the_ladder_s() -> None:
    written = re.search(r"^    ((?:[01]\.){26}pictures)$", PAGE, re.MULTILINE)
    assert written is not None
    assert ladder.descent("pictures", 3_000) == ladder.Descent(4, written[1], 0)
    assert ladder.word("a.b/ä*") == "a%2Eb%2F%C3%A4%2A"


def test_a_stranger_s_delay_is_kept_beside_the_workers_own(
    broker: Broker, worker: Heard, name: str, channel: BlockingChannel
) -> None:
    work = WorkQueue(broker.url, default_queue=name)

    @work.task(name="resize")
    def resize(path: Path, width: int) -> None: ...

    declare_as_the_page_says(channel, name, 4, ON_RABBITMQ if broker.kind == "rabbitmq" else {})
    resize.options(delay=0.1).send(Path("first"), 1)
    begun = time.monotonic()
    key = ".".join(f"{13:026b}") + f".{name}"
    sent_by_a_stranger(channel, key, "resize", {"args": ["second", 2]}, "leveret.delay.3")
    assert worker.word("resized") == "PosixPath first 1"
    assert worker.word("resized") == "PosixPath second 2"
    assert time.monotonic() - begun >= 1.3
    work.close()
