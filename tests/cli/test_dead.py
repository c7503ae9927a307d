"""`leveret dead …` on both brokers: what is parked is found, grouped, changed, sent again and thrown away, and never lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from typer.testing import CliRunner

from brokers import Broker
from leveret.cli.main import application

Run = Callable[..., str]


@pytest.fixture
def queue(name: str) -> str:
    return f"mail.{name}"


@pytest.fixture
def run(broker: Broker, queue: str) -> Run:
    """`leveret dead` with its arguments; what it printed. `code` is the exit code expected."""

    def call(command: str, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(application(), ["dead", command, queue, *arguments, "--url", broker.url])
        assert result.exit_code == code, result.output
        return result.output

    return call


@pytest.fixture
def letters(channel: BlockingChannel, queue: str) -> list[str]:
    """Ids of three that are parked: two of one task, one of another."""
    channel.queue_declare(queue, durable=True)
    channel.queue_declare(f"{queue}.dead", durable=True)
    channel.confirm_delivery()  # commands look by a connection of their own
    for number, (task, reason, exception) in enumerate(
        [("send", "attempts", "OSError"), ("send", "attempts", "OSError"), ("draw", "rejected", "leveret.Reject")]
    ):
        headers = {
            "x-leveret-attempt": 3,
            "x-leveret-reason": reason,
            "x-leveret-queue": queue,
            "x-leveret-exception": exception,
            "x-leveret-error": f"no good {number}\nat all",
            "x-leveret-traceback": "Traceback …",
            "x-leveret-last-failure": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "mine": number,
        }
        properties = pika.BasicProperties(
            type=task, message_id=f"{queue}-{number}", headers=headers, delivery_mode=2, content_type="application/json"
        )
        channel.basic_publish("", f"{queue}.dead", b'{"args": [%d]}' % number, properties)
    return [f"{queue}-{number}" for number in range(3)]


def taken(channel: BlockingChannel, queue: str) -> list[tuple[Any, bytes]]:
    found = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append((got[1], got[2]))
    return found


def test_they_are_listed_and_stay_where_they_are(
    run: Run, letters: list[str], channel: BlockingChannel, queue: str
) -> None:
    for _ in range(2):
        rows = json.loads(run("list", "--formatter", "json"))
        assert [row["id"] for row in rows] == letters
    assert rows[0] == {
        "id": letters[0],
        "task": "send",
        "reason": "attempts",
        "attempts": 3,
        "last_failure": rows[0]["last_failure"],
        "error": "OSError: no good 0\nat all",
    }
    assert datetime.fromisoformat(rows[0]["last_failure"]) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = run("list", "--task", "draw")
    assert letters[2] in table and letters[0] not in table and "at all" not in table
    assert [body for _, body in taken(channel, f"{queue}.dead")] == [
        b'{"args": [0]}',
        b'{"args": [1]}',
        b'{"args": [2]}',
    ]


def test_they_are_grouped_by_what_they_died_of(run: Run, letters: list[str]) -> None:
    rows = json.loads(run("errors", "--formatter", "json"))
    assert [(row["letters"], row["task"], row["exception"]) for row in rows] == [
        (2, "send", "OSError"),
        (1, "draw", "leveret.Reject"),
    ]
    assert rows[0]["last_error"] == "no good 1\nat all"


def test_one_is_shown_with_its_story(run: Run, letters: list[str]) -> None:
    letter = json.loads(run("show", letters[1]))
    assert (letter["body"], letter["traceback"], letter["first_failure"]) == ('{"args": [1]}', "Traceback …", None)
    assert "has no dead letter 'nobody'" in run("show", "nobody", code=1)


def test_what_fits_is_sent_again_and_begins_anew(
    run: Run, letters: list[str], channel: BlockingChannel, queue: str
) -> None:
    assert run("requeue", "--task", "send", "--error", "good 1").strip() == "1 requeued"
    ((properties, body),) = taken(channel, queue)
    assert (properties.message_id, properties.type, body) == (letters[1], "send", b'{"args": [1]}')
    assert (properties.headers, properties.delivery_mode) == ({"mine": 1}, 2)
    assert run("requeue", letters[0], "gone", code=1).startswith("1 requeued")
    assert [properties.message_id for properties, _ in taken(channel, f"{queue}.dead")] == [letters[2]]


def test_what_is_thrown_away_is_gone_and_nothing_else(
    run: Run, letters: list[str], channel: BlockingChannel, queue: str
) -> None:
    assert "which letters" in run("discard", code=2)
    assert run("discard", "--reason", "attempts").strip() == "2 discarded"
    assert [row["id"] for row in json.loads(run("list", "--formatter", "json"))] == [letters[2]]
    assert run("discard", "--all").strip() == "1 discarded"
    assert taken(channel, f"{queue}.dead") == taken(channel, queue) == []


def test_one_is_changed_and_sent_again(
    run: Run, letters: list[str], channel: BlockingChannel, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "true")
    assert "nothing was changed" in run("edit", letters[0], code=1)
    assert "has to be JSON" in run("edit", letters[0], "--body", "no", code=2)
    monkeypatch.setenv("EDITOR", "sed -i s/0/7/")
    assert run("edit", letters[0]).strip() == "1 requeued"
    assert run("edit", letters[1], "--body", '{"args": [8]}').strip() == "1 requeued"
    assert [body for _, body in taken(channel, queue)] == [b'{"args": [7]}', b'{"args": [8]}']


def test_a_queue_without_dead_letters_says_so(run: Run) -> None:
    assert "has no dead letters" in run("list", code=1)


def test_queues_that_have_some_are_named(managed_broker: Broker) -> None:
    with managed_broker.connect() as connection:
        channel = connection.channel()
        for queue in ("a.dead", "b.dead", "c"):
            channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "a.dead", b"x")
        channel.basic_publish("", "c", b"x")
    rows: list[dict[str, Any]] = []
    for _ in range(200):  # RabbitMQ's figures come late
        arguments = ["dead", "queues", "--management", managed_broker.management_url, "--formatter", "json"]
        result = CliRunner().invoke(application(), arguments)
        rows = json.loads(result.output) if result.exit_code == 0 else []
        if rows:
            break
    assert rows == [{"queue": "a", "letters": 1}]


def test_a_directory_with_a_broker_of_its_own_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEVERET_URL", raising=False)
    (tmp_path / ".leveret").mkdir()
    asked: list[Path] = []
    monkeypatch.setattr("leveret.cli.reaching.local_url", lambda: asked.append(Path.cwd()) or "amqp://127.0.0.1:1/")
    result = CliRunner().invoke(application(), ["dead", "list", "mail"])
    assert (result.exit_code, asked) == (1, [tmp_path]) and "cannot connect" in result.output
