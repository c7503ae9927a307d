"""The administrator's commands against both brokers: what they change is seen by clients and by the management API."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from typer.testing import CliRunner

from brokers import Broker
from leveret.cli.main import application


@pytest.fixture(scope="module")
def shared(broker_kind: type[Broker]) -> Iterator[Broker]:
    own = broker_kind(management=True)
    try:
        own.start()
        yield own
    finally:
        own.remove()


class Shell:
    """Runs commands in this process: starting one for each would take most of the time."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "", url: str = "") -> str:
        url = url or self._broker.management_url
        ended = CliRunner().invoke(application(), [*arguments, "--management", url], input=stdin)
        assert ended.exit_code == code, (arguments, ended.output, ended.exception)
        if code:
            (line,) = ended.stderr.splitlines()
            assert line.startswith("leveret: ")
            return line
        return ended.stdout

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self(*arguments, "--formatter", "json"))
        return rows


@pytest.fixture
def shell(shared: Broker) -> Shell:
    return Shell(shared)


def login(broker: Broker, user: str, password: str, vhost: str = "/") -> pika.BlockingConnection:
    return broker.connect(credentials=pika.PlainCredentials(user, password), virtual_host=vhost)


REFUSED = (pika.exceptions.ProbableAccessDeniedError, pika.exceptions.ProbableAuthenticationError)


def test_a_user_from_its_first_to_its_last_day(shared: Broker, shell: Shell, name: str) -> None:
    shell("add-user", name, "first")
    assert shell("add-user", name, "again", code=1) == f"leveret: user '{name}' exists already"
    shell("authenticate-user", name, "first")
    shell("authenticate-user", name, "wrong", code=1)
    with pytest.raises(REFUSED):
        login(shared, name, "first")

    shell("set-permissions", name, "^mine", ".*", "", "-p", "/")
    assert {"user": name, "configure": "^mine", "write": ".*", "read": ""} in shell.rows("list-permissions")
    expected = [{"vhost": "/", "configure": "^mine", "write": ".*", "read": ""}]
    assert shell.rows("list-user-permissions", name) == expected
    with login(shared, name, "first") as connection:
        connection.channel().queue_declare("mine", auto_delete=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            connection.channel().queue_declare("yours")
        assert refused.value.reply_code == 403

    shell("set-user-tags", name, "monitoring", "policymaker")
    assert {"user": name, "tags": ["monitoring", "policymaker"]} in shell.rows("list-users")
    shell("change-password", name, "second")
    assert {"user": name, "tags": ["monitoring", "policymaker"]} in shell.rows("list-users")
    shell("authenticate-user", name, "first", code=1)
    shell("authenticate-user", name, "second")
    shell("set-user-tags", name)
    assert {"user": name, "tags": []} in shell.rows("list-users")
    shell("authenticate-user", name, stdin="second\n")

    shell("clear-permissions", name)
    with pytest.raises(REFUSED):
        login(shared, name, "second")
    shell("delete-user", name)
    shell("authenticate-user", name, "second", code=1)
    for command in (["delete-user", name], ["set-user-tags", name, "x"], ["change-password", name, "x"]):
        assert shell(*command, code=1) == f"leveret: user '{name}' does not exist"


def test_a_password_is_read_from_standard_input(shell: Shell, name: str) -> None:
    shell("add-user", name, stdin="a b c\n")
    shell("authenticate-user", name, "a b c")
    shell("delete-user", name)


def test_a_name_may_hold_any_character(shell: Shell, name: str) -> None:
    odd = f"CN={name}/ä %?#,O=x y"
    shell("add-user", odd, "secret")
    shell("add-vhost", odd)
    shell("set-permissions", odd, ".*", ".*", ".*", "--vhost", odd)
    assert shell.rows("list-permissions", "-p", odd)[-1]["user"] in (odd, "guest")
    assert [row["vhost"] for row in shell.rows("list-user-permissions", odd)] == [odd]
    shell("delete-vhost", odd)
    shell("delete-user", odd)


def test_a_virtual_host_comes_and_goes(shared: Broker, shell: Shell, name: str) -> None:
    shell("add-vhost", name, "--description", "for tests", "--tags", "a,b")
    (row,) = (row for row in shell.rows("list-vhosts", "name", "description", "tags") if row["name"] == name)
    assert row == {"name": name, "description": "for tests", "tags": ["a", "b"]}
    with shared.connect(virtual_host=name) as connection:
        connection.channel().queue_declare("q")
    assert shell("list-vhosts", "--formatter", "csv").splitlines() == ["name", "/", name]
    shell("delete-vhost", name)
    with pytest.raises((pika.exceptions.AMQPConnectionError, pika.exceptions.ConnectionClosedByBroker)):
        shared.connect(virtual_host=name)
    assert shell("delete-vhost", name, code=1) == f"leveret: virtual host '{name}' does not exist"
    assert shell("list-permissions", "-p", name, code=1) == f"leveret: virtual host '{name}' does not exist"


def test_topic_permissions(shared: Broker, shell: Shell, name: str) -> None:
    shell("add-user", name, "secret")
    shell("set-permissions", name, ".*", ".*", ".*")
    shell("set-topic-permissions", name, "amq.topic", "^a", "^b")
    shell("set-topic-permissions", name, "other", "^c", "^d")
    with login(shared, name, "secret") as connection:
        channel = connection.channel()
        channel.basic_publish("amq.topic", "b", b"")
        with pytest.raises(pika.exceptions.AMQPChannelError):
            channel.queue_declare("", exclusive=True)
    listed = [row for row in shell.rows("list-topic-permissions") if row["user"] == name]
    assert sorted(row["exchange"] for row in listed) == ["amq.topic", "other"]
    shell("clear-topic-permissions", name, "amq.topic")
    listed = [row for row in shell.rows("list-topic-permissions") if row["user"] == name]
    assert listed == [{"user": name, "exchange": "other", "write": "^c", "read": "^d"}]
    assert "no such permissions" in shell("clear-topic-permissions", name, "amq.topic", code=1)
    shell("clear-topic-permissions", name)
    assert [row for row in shell.rows("list-topic-permissions") if row["user"] == name] == []
    shell("delete-user", name)


@pytest.mark.parametrize("kind", ["policy", "operator-policy"])
def test_policies_hold_at_once(shared: Broker, shell: Shell, name: str, kind: str) -> None:
    several = "policies" if kind == "policy" else "operator-policies"
    shell(f"set-{kind}", name, f"^{name}$", '{"max-length": 1}', "--priority", "7", "--apply-to", "queues")
    assert shell.rows(f"list-{several}") == [
        {
            "vhost": "/",
            "name": name,
            "pattern": f"^{name}$",
            "apply-to": "queues",
            "definition": {"max-length": 1},
            "priority": 7,
        }
    ]
    table = list(csv.reader(io.StringIO(shell(f"list-{several}", "--formatter", "csv"))))
    assert table[1] == ["/", name, f"^{name}$", "queues", '{"max-length": 1}', "7"]
    with shared.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(name, exclusive=True)
        for _ in range(3):
            channel.basic_publish("", name, b"")
        assert channel.queue_declare(name, passive=True).method.message_count == 1
    shell(f"clear-{kind}", name)
    assert shell.rows(f"list-{several}") == []
    assert shell(f"clear-{kind}", name, code=1) == f"leveret: virtual host '/' has no policy '{name}'"
    shell(f"set-{kind}", name, "(", '{"max-length": 1}', code=1)
    assert "is not JSON" in shell(f"set-{kind}", name, ".*", "{", code=2)
    shell(f"set-{kind}", name, ".*", "{}", "--vhost", "nope", code=1)


def test_limits(shared: Broker, shell: Shell, name: str) -> None:
    shell("add-vhost", name)
    shell("add-user", name, "secret")
    shell("set-permissions", name, ".*", ".*", ".*", "-p", name)
    shell("set-vhost-limits", '{"max-queues": 1, "max-connections": 100}', "-p", name)
    row = {"vhost": name, "limits": {"max-queues": 1, "max-connections": 100}}
    assert shell.rows("list-vhost-limits", "-p", name) == [row]
    assert row in shell.rows("list-vhost-limits", "--global")
    with login(shared, name, "secret", name) as connection:
        connection.channel().queue_declare("one")
        with pytest.raises(pika.exceptions.AMQPError):
            connection.channel().queue_declare("two")
    shell("clear-vhost-limits", "-p", name)
    assert shell.rows("list-vhost-limits", "-p", name) == []
    shell("set-user-limits", name, '{"max-connections": 0}')
    assert shell.rows("list-user-limits", "--user", name) == [{"user": name, "limits": {"max-connections": 0}}]
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        login(shared, name, "secret", name)
    shell("clear-user-limits", name, "all")
    assert shell.rows("list-user-limits", "--user", name) == []
    login(shared, name, "secret", name).close()
    shell("delete-vhost", name)
    shell("delete-user", name)


def test_definitions_go_out_and_in(shell: Shell, shared: Broker, name: str, tmp_path: Path) -> None:
    with shared.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True, arguments={"x-max-length": 3})
        channel.exchange_declare(name, "topic", durable=True)
        channel.queue_bind(name, name, "a.*")
    shell("add-user", name, "secret")
    shell("set-policy", name, "^p", '{"max-length": 9}')
    file = tmp_path / "definitions.json"
    shell("export-definitions", str(file))
    assert json.loads(shell("export-definitions", "-")).keys() >= {"users", "vhosts", "queues", "policies"}
    shell("delete-user", name)
    shell("clear-policy", name)
    shell("delete-queue", name)
    shell("import-definitions", str(file))
    shell("authenticate-user", name, "secret")
    assert [row["name"] for row in shell.rows("list-policies")] == [name]
    bound = shell.rows("list-bindings", "source_name", "destination_name", "routing_key")
    assert {"source_name": name, "destination_name": name, "routing_key": "a.*"} in bound
    shell("import-definitions", "-", stdin=file.read_text())
    assert "is not JSON" in shell("import-definitions", "-", stdin="{", code=2)
    assert "No such file" in shell("import-definitions", str(tmp_path / "nowhere"), code=1)
    shell("clear-policy", name)
    shell("delete-user", name)
    shell("delete-queue", name)


def test_queues_are_purged_and_deleted(shell: Shell, shared: Broker, name: str) -> None:
    with shared.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(name, durable=True)
        channel.basic_publish("", name, b"one")
        assert "not empty" in shell("delete-queue", name, "--if-empty", code=1)
        shell("purge-queue", name)
        assert channel.queue_declare(name, passive=True).method.message_count == 0
        channel.basic_consume(name, lambda *_: None)
        assert "in use" in shell("delete-queue", name, "--if-unused", code=1)
        shell("delete-queue", name, "-e", "-p", "/")
    for command in ("purge-queue", "delete-queue"):
        assert shell(command, name, code=1) == f"leveret: virtual host '/' has no queue '{name}'"


def test_what_a_client_has_open_is_listed_and_closed(shell: Shell, shared: Broker, name: str) -> None:
    connection = shared.connect(heartbeat=0)
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    channel.exchange_declare(name, "fanout", auto_delete=True)
    channel.queue_bind(name, name, "k")
    channel.basic_consume(name, lambda *_: None, consumer_tag=f"tag-{name}")
    assert {"name": name, "type": "fanout"} in shell.rows("list-exchanges")
    (bound,) = (row for row in shell.rows("list-bindings") if row["source_name"] == name)
    assert (bound["destination_kind"], bound["destination_name"], bound["routing_key"]) == ("queue", name, "k")

    def seen(*command: str) -> list[dict[str, Any]]:
        """RabbitMQ lists what was opened a moment later."""
        for _ in range(600):
            rows = [row for row in shell.rows(*command) if row.get("user", "guest") == "guest"]
            if rows:
                return rows
            connection.process_data_events(time_limit=0.05)
        return []

    (consumer,) = seen("list-consumers")
    assert (consumer["queue_name"], consumer["consumer_tag"]) == (name, f"tag-{name}")
    assert consumer["ack_required"] is True
    (listed,) = seen("list-channels", "name", "user", "number")
    assert (listed["user"], listed["number"]) == ("guest", 1)
    (listed,) = seen("list-connections", "name", "user", "peer_host")
    assert listed["peer_host"] == "127.0.0.1"
    shell("close-connection", listed["name"], "enough")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        while True:
            connection.process_data_events(time_limit=10)
    assert (closed.value.reply_code, closed.value.reply_text) == (320, "CONNECTION_FORCED - enough")
    assert shell("close-connection", "nope", "enough", code=1) == "leveret: there is no connection 'nope'"


def test_status_tells_what_listens(shell: Shell, shared: Broker) -> None:
    text = shell("status")
    assert f"amqp 127.0.0.1:{shared.port}" in text and "queues:" in text
    (facts,) = shell.rows("status")
    assert isinstance(facts["queues"], int) and facts["alarms"] == []


def test_a_column_that_is_not_there_is_told(shell: Shell) -> None:
    assert shell("list-exchanges", "nam", code=2).startswith("leveret: no column nam; there are: arguments, ")


def test_a_wrong_password_is_told_in_one_line(shell: Shell, shared: Broker) -> None:
    url = shared.management_url.replace("guest:guest", "guest:wrong")
    assert "user guest or its password is wrong" in shell("list-users", code=1, url=url)
    assert "expected http://" in shell("list-users", code=2, url="nonsense")
    assert "is the broker running?" in shell("list-users", code=1, url="http://127.0.0.1:1")
