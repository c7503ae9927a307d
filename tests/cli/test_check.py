"""`leveret check`: what waits is judged by the code that is about to run, and stays where it is; on both brokers."""

from __future__ import annotations

import json
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from typer.testing import CliRunner, Result

from brokers import Broker
from leveret.cli.main import app

PROGRAM = """
from leveret.tasks import WorkQueue

work = WorkQueue({url!r}, default_queue={queue!r})

@work.task
def resize(name: str, width: int) -> None:
    raise SystemExit("nothing is run")

@work.consumer({queue!r} + ".plain")
def take(body: bytes) -> None: ...

@work.task(queue={queue!r} + ".new")
def new() -> None: ...
"""


@pytest.fixture
def queue(name: str) -> str:
    return f"check.{name}"


@pytest.fixture
def program(broker: Broker, queue: str, tmp_path: Path) -> Path:
    file = tmp_path / f"program_{queue.replace('.', '_')}.py"
    file.write_text(PROGRAM.format(url=broker.url, queue=queue))
    return file


def check(program: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(program), "--formatter", "json", *options])


def wait(channel: BlockingChannel, queue: str, *tasks: tuple[str, str, str]) -> None:
    """Id, task and body of each message that is to wait."""
    channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    for message_id, task, body in tasks:
        channel.basic_publish("", queue, body.encode(), pika.BasicProperties(type=task, message_id=message_id))


def test_what_would_not_run_is_named_and_nothing_is_taken(program: Path, channel: BlockingChannel, queue: str) -> None:
    wait(
        channel,
        queue,
        ("fits", "resize", '{"args": ["hare.png", 5]}'),
        ("old", "resize", '{"args": ["hare.png"], "kwargs": {"size": 5}}'),
        ("typed", "resize", '{"args": ["hare.png", "wide"]}'),
        ("gone", "rotate", "{}"),
        ("broken", "resize", "{"),
    )
    wait(channel, f"{queue}.plain", ("plain", "", "anything"))
    for _ in range(2):
        result = check(program)
        assert result.exit_code == 1
        rows = json.loads(result.stdout)
        assert [(row["id"], row["task"], row["reason"]) for row in rows] == [
            ("old", "resize", "arguments"),
            ("typed", "resize", "arguments"),
            ("gone", "rotate", "unknown-task"),
            ("broken", "resize", "arguments"),
        ]
        assert {row["queue"] for row in rows} == {queue} and "size" in rows[0]["error"]
        assert "6 messages looked at, 4 would not run" in result.stderr
    assert channel.queue_declare(queue, passive=True).method.message_count == 5
    assert json.loads(check(program, "--limit", "2").stdout)[0]["id"] == "old"


def test_if_all_would_run_the_exit_code_is_0(program: Path, channel: BlockingChannel, queue: str) -> None:
    wait(channel, queue, ("fits", "resize", '{"kwargs": {"name": "hare.png", "width": 5}}'))
    result = check(program)
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_a_program_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    result = check(tmp_path / "nothing.py")
    assert result.exit_code == 2 and "nothing.py" in result.output
