"""`leveret store`: on the data of a broker that runs, and of one that has ended, as processes."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pika
import pytest

from brokers import Leveret

PROPERTIES = {
    "content_type": "text/plain",
    "content_encoding": "gzip",
    "priority": 3,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "60000",
    "message_id": "m",
    "timestamp": 1_700_000_000,
    "type": "t",
    "app_id": "a",
}
HEADERS = {
    "n": 1,
    "text": "ä",
    "flag": True,
    "none": None,
    "list": [1, {"a": 2}],
    "when": datetime.fromtimestamp(5, UTC),
}


def store(*arguments: str | Path, code: int = 0) -> str:
    """What the command prints: on standard output if it succeeds, or else on standard error as well."""
    command = [sys.executable, "-m", "leveret", "store", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


@pytest.fixture
def broker() -> Iterator[Leveret]:
    broker = Leveret(management=False)
    broker.start()
    yield broker
    broker.remove()


def data(broker: Leveret) -> Path:
    return broker.directory / "data"


def publish(broker: Leveret, count: int, queue: str = "jobs", body: bytes = b"x" * 1000) -> None:
    """Confirmed when this returns."""
    with broker.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        for _ in range(count):
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))


def test_check_counts_what_is_there_and_changes_nothing(broker: Leveret) -> None:
    publish(broker, 7)
    assert store("check", data(broker)).startswith("in order: 1 queues, 7 messages, ")
    broker.kill()
    before = {file.name: file.read_bytes() for file in data(broker).iterdir() if not file.name.endswith("-shm")}
    assert json.loads(store("check", data(broker), "--formatter", "json"))["messages"] == 7
    assert {file.name: file.read_bytes() for file in data(broker).iterdir() if not file.name.endswith("-shm")} == before


def test_check_names_problems(broker: Leveret) -> None:
    publish(broker, 3)
    broker.stop()
    connection = sqlite3.connect(data(broker) / "leveret.db")
    connection.execute("update queue set messages = 9")
    connection.commit()
    connection.close()
    lines = store("check", data(broker), code=1).splitlines()
    assert lines[0] == "queue 'jobs' in vhost '/': 9 messages by its count, 3 are there"
    assert lines[-1].startswith("1 problems: ")


def test_what_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    for command in (["check"], ["dump"], ["compact"], ["backup"]):
        more = [tmp_path / "copy"] if command == ["backup"] else []
        said = store(*command, tmp_path, *more, code=2)
        assert said == f"leveret: there is no {tmp_path / 'leveret.db'}\n"


def test_a_backup_of_a_busy_broker_has_all_that_was_confirmed_before(broker: Leveret, tmp_path: Path) -> None:
    publish(broker, 200)
    ended = threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            publish(broker, 50)

    publisher = threading.Thread(target=go_on)
    publisher.start()
    try:
        store("backup", data(broker), tmp_path / "copy")
    finally:
        ended.set()
        publisher.join()
    copied = json.loads(store("check", tmp_path / "copy", "--formatter", "json"))
    assert copied["problems"] == [] and copied["messages"] >= 200
    broker.stop()
    (data(broker) / "leveret.db").unlink()
    (tmp_path / "copy" / "leveret.db").rename(data(broker) / "leveret.db")
    broker.start()
    with broker.connect() as connection:
        assert connection.channel().queue_declare("jobs", passive=True).method.message_count == copied["messages"]


def test_a_backup_replaces_another_only_if_told_to(broker: Leveret, tmp_path: Path) -> None:
    publish(broker, 1)
    store("backup", data(broker), tmp_path)
    publish(broker, 1)
    assert (
        store("backup", data(broker), tmp_path, code=2)
        == f"leveret: {tmp_path / 'leveret.db'} exists; --force replaces it\n"
    )
    (tmp_path / "leveret.db-wal").write_bytes(b"of a broker that crashed here")
    store("backup", data(broker), tmp_path, "--force")
    assert json.loads(store("check", tmp_path, "--formatter", "json"))["messages"] == 2
    assert {file.name for file in tmp_path.iterdir()} <= {"leveret.db", "leveret.db-wal", "leveret.db-shm", "lock"}


def test_a_backup_does_not_replace_the_store_of_a_running_broker(broker: Leveret) -> None:
    publish(broker, 1)
    assert "is in use by the broker with process id" in store("backup", data(broker), data(broker), "--force", code=1)


def test_compact_gives_the_disk_back(broker: Leveret) -> None:
    publish(broker, 300, body=b"x" * 10_000)
    with broker.connect() as connection:
        connection.channel().queue_purge("jobs")
    publish(broker, 2)
    assert "is in use by the broker with process id" in store("compact", data(broker), code=1)
    broker.stop()
    before = (data(broker) / "leveret.db").stat().st_size
    said = store("compact", data(broker))
    after = (data(broker) / "leveret.db").stat().st_size
    assert f": {before} octets before, {after} after, " in said and after < before // 5
    assert json.loads(store("check", data(broker), "--formatter", "json"))["messages"] == 2
    broker.start()


def test_dump_prints_all_that_a_message_has(broker: Leveret) -> None:
    with broker.connect() as connection:
        channel = connection.channel()
        channel.exchange_declare("x", "fanout", durable=True)
        for queue in ("a", "b"):
            channel.queue_declare(queue, durable=True)
            channel.queue_bind(queue, "x")
        channel.confirm_delivery()
        properties = pika.BasicProperties(delivery_mode=2, headers=HEADERS, **PROPERTIES)
        channel.basic_publish("x", "key", "käse".encode(), properties)
        channel.basic_publish("", "b", b"\xff\x00", pika.BasicProperties(delivery_mode=2))
    lines = [json.loads(line) for line in store("dump", data(broker)).splitlines()]
    assert [(line["queue"], line["position"], line["exchange"]) for line in lines] == [
        ("a", 0, "x"),
        ("b", 0, "x"),
        ("b", 1, ""),
    ]
    first, last = lines[0], lines[-1]
    assert (first["payload"], first["payload_encoding"], first["routing_key"]) == ("käse", "string", "key")
    assert first["properties"] == {"delivery_mode": 2, "headers": {**HEADERS, "when": 5}, **PROPERTIES}
    assert first["expires"] > 0 and first["persistent"] and first["deliveries"] == 0
    assert (base64.b64decode(last["payload"]), last["payload_encoding"], last["expires"]) == (
        b"\xff\x00",
        "base64",
        None,
    )
    broker.stop()
    assert [json.loads(line) for line in store("dump", data(broker)).splitlines()] == lines
    assert [
        json.loads(line)["position"]
        for line in store("dump", data(broker), "--queue", "b", "--limit", "1").splitlines()
    ] == [0]
    assert "no durable queue 'c' in vhost '/'" in store("dump", data(broker), "--queue", "c", code=1)


def test_an_unreadable_message_is_dumped_as_it_is(broker: Leveret) -> None:
    publish(broker, 1)
    broker.stop()
    connection = sqlite3.connect(data(broker) / "leveret.db")
    connection.execute("update message set data = x'ff00'")
    connection.commit()
    connection.close()
    line = json.loads(store("dump", data(broker)))
    assert line["unreadable"] and base64.b64decode(line["data"]) == b"\xff\x00"
