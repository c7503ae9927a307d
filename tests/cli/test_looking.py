"""`leveret list-queues`, `unacked` and `send` against both brokers, as processes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import typer

from brokers import Broker
from leveret.cli.looking import Formatter, show
from leveret.cli.output import fail

STATISTICS_S = 120.0
"""RabbitMQ's management gathers its figures every few seconds."""


def leveret(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leveret", *arguments], capture_output=True, text=True, timeout=60, check=True
    )


def until(look: Callable[[], str], found: Callable[[str], bool]) -> str:
    """What `look` prints once it shows what is to be found, or at the end of the wait."""
    deadline = time.monotonic() + STATISTICS_S
    while not found(text := look()) and time.monotonic() < deadline:
        pass
    return text


def test_what_waits_and_who_holds_it_is_found_on_both_brokers(managed_broker: Broker) -> None:
    api = ["--management", managed_broker.management_url]
    for text in ("one", "two", "three"):
        assert "confirmed" in leveret("send", "tasks", text, "--url", managed_broker.url).stdout
    with managed_broker.connect() as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("tasks", lambda *_: None, consumer_tag="forgetful")
        connection.process_data_events(time_limit=1)

        columns = ["name", "messages_ready", "messages_unacknowledged"]
        listed = until(
            lambda: leveret("list-queues", *columns, "--formatter", "csv", *api).stdout, lambda text: "2,1" in text
        )
        assert list(csv.reader(io.StringIO(listed))) == [columns, ["tasks", "2", "1"]]
        rows = json.loads(leveret("list-queues", *columns, "--formatter", "json", *api).stdout)
        assert rows == [{"name": "tasks", "messages_ready": 2, "messages_unacknowledged": 1}]
        assert leveret("list-queues", *columns, *api).stdout.split() == [*columns, "tasks", "2", "1"]

        held = until(lambda: leveret("unacked", "--formatter", "json", *api).stdout, lambda text: "forgetful" in text)
        (row,) = json.loads(held)
        assert (row["queue"], row["consumer_tag"], row["channel"]) == ("tasks", "forgetful", 1)


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"name": "\x1b[2J\x9b1mqueue\u202e"}], ["name"], Formatter.table)
    with pytest.raises(typer.Exit):
        fail("no queue '\x1b[2J'")
    printed = capsys.readouterr()
    assert "queue" in printed.out and "\\x1b" in printed.err
    assert not any(sign in printed.out + printed.err for sign in "\x1b\x9b\u202e")
