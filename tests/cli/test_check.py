"""`leveret check`: what waits is judged by the code that is about to run, and stays where it is; on both brokers."""

from __future__ import annotations

import json
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from typer.testing import CliRunner, Result

from brokers import Broker
from leveret.cli.main import application
from leveret.tasks import WorkQueue

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
    return CliRunner().invoke(application(), ["check", str(program), "--formatter", "json", *options])


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


def test_tasks_that_wait_in_the_lanes_of_tenants_are_judged_too(
    broker: Broker, channel: BlockingChannel, queue: str, tmp_path: Path
) -> None:
    work = WorkQueue(broker.url, default_queue=queue)

    @work.task(fair="name")
    def resize(name: str, height: str) -> None: ...

    work.send_many([resize.call("a", "high"), resize.call("a", "low"), resize.call("b", "high")])
    work.close()
    file = tmp_path / f"laned_{queue.replace('.', '_')}.py"
    file.write_text(PROGRAM.format(url=broker.url, queue=queue))
    result = check(file)
    assert result.exit_code == 1
    assert [row["reason"] for row in json.loads(result.stdout)] == ["arguments"] * 3


CHANGED = """
from leveret.tasks import WorkQueue

work = WorkQueue({url!r}, default_queue={queue!r})

@work.task(version=2, aliases=("scale",))
def resize(name: str, size: tuple[int, int]) -> None: ...

@resize.accepts(version=1)
def _(name: str, width: int):
    return resize.call(name, (width, width))

@work.schedule(every=60, args=("hare.png", (5, 5)))
@work.schedule(every=60, name="urgently", args=("hare.png", (5, 5)))
@work.task(queue={queue!r} + ".urgent")
def shrink(name: str, size: tuple[int, int]) -> None: ...
"""


def test_aliases_and_older_versions_are_read_as_a_worker_would(
    broker: Broker, channel: BlockingChannel, queue: str, tmp_path: Path
) -> None:
    file = tmp_path / f"changed_{queue.replace('.', '_')}.py"
    file.write_text(CHANGED.format(url=broker.url, queue=queue))
    old, new = '{"args": ["hare.png", 5]}', '{"args": ["hare.png", [5, 5]]}'
    wait(channel, queue, ("old", "resize", old), ("older", "scale", old), ("wrong", "scale", new))
    for message_id, version in (("new", 2), ("newer", 3)):
        properties = pika.BasicProperties(type="resize", message_id=message_id, headers={"x-leveret-version": version})
        channel.basic_publish("", queue, new.encode(), properties)
    result = check(file)
    assert [(row["id"], row["reason"]) for row in json.loads(result.stdout)] == [
        ("wrong", "arguments"),
        ("newer", "arguments"),
    ]
    assert "5 messages and 2 schedules looked at, 2 would not run" in result.stderr


def test_schedules_that_would_send_in_vain_are_named(broker: Broker, queue: str, tmp_path: Path) -> None:
    file = tmp_path / f"vain_{queue.replace('.', '_')}.py"
    text = CHANGED.replace('.urgent")', '.urgent", priority=5)')
    file.write_text(text.format(url=broker.url, queue=queue))
    result = check(file)
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert [(row["id"], row["task"], row["reason"]) for row in rows] == [
        ("schedule urgently", "shrink", "schedule"),
        ("schedule shrink", "shrink", "schedule"),
    ]
    assert "priority 5" in rows[0]["error"]
