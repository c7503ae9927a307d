"""RabbitMQ's own command line for its API, as RabbitMQ's package brings it: what it says on Leveret is what it says there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from brokers import Broker, RabbitMQ

TOOL = "plugins/rabbitmq_management-*/priv/www/cli/rabbitmqadmin"


@pytest.fixture(scope="module")
def tool() -> Path:
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob(f"*/{TOOL}"))
    if not found:
        pytest.skip("rabbitmqadmin is not installed: it comes with RabbitMQ")
    return found[-1]


class Shell:
    def __init__(self, tool: Path, broker: Broker) -> None:
        self._tool = tool
        self._port = broker.management_port

    def __call__(self, *arguments: str, code: int = 0) -> str:
        command = [sys.executable, str(self._tool), "--host", "127.0.0.1", "--port", str(self._port), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def rows(self, *arguments: str) -> list[list[str]]:
        return [line.split("\t") for line in self("--format", "tsv", *arguments).splitlines()]


@pytest.fixture
def shell(tool: Path, shared: Broker) -> Shell:
    return Shell(tool, shared)


def test_what_is_declared_is_listed_and_deleted(shell: Shell, name: str) -> None:
    assert shell("declare", "queue", f"name={name}", 'arguments={"x-max-priority": 3}').strip() == "queue declared"
    assert shell("declare", "exchange", f"name={name}", "type=topic").strip() == "exchange declared"
    bound = shell("declare", "binding", f"source={name}", f"destination={name}", "routing_key=a.#")
    assert bound.strip() == "binding declared"
    assert [name] in shell.rows("list", "queues", "name")
    assert [name, "topic", "True"] in shell.rows("list", "exchanges", "name", "type", "durable")
    assert [name, name, "a.#"] in shell.rows("list", "bindings", "source", "destination", "routing_key")
    unbound = shell(
        "delete", "binding", f"source={name}", "destination_type=queue", f"destination={name}", "properties_key=a.%23"
    )
    assert unbound.strip() == "binding deleted"
    assert shell("delete", "exchange", f"name={name}").strip() == "exchange deleted"
    assert shell("delete", "queue", f"name={name}").strip() == "queue deleted"
    assert [name] not in shell.rows("list", "queues", "name")


def test_messages_are_published_got_and_purged(shell: Shell, name: str) -> None:
    shell("declare", "queue", f"name={name}")
    assert "Message published" in shell("publish", f"routing_key={name}", "payload=hello")
    assert "NOT routed" in shell("publish", "routing_key=nowhere-at-all", "payload=hello")
    (_, got) = shell.rows("get", f"queue={name}", "ackmode=ack_requeue_true")
    assert got[:5] == [name, "", "0", "hello", "5"]
    assert shell("purge", "queue", f"name={name}").strip() == "queue purged"
    assert shell("get", f"queue={name}").strip() in ("No items", "")
    shell("delete", "queue", f"name={name}")


def test_tenants_are_declared_listed_and_deleted(shell: Shell, name: str) -> None:
    assert shell("declare", "vhost", f"name={name}").strip() == "vhost declared"
    assert shell("declare", "user", f"name={name}", "password=p", "tags=monitoring").strip() == "user declared"
    allowed = shell("declare", "permission", f"vhost={name}", f"user={name}", "configure=.*", "write=.*", "read=.*")
    assert allowed.strip() == "permission declared"
    made = shell("-V", name, "declare", "policy", "name=p", "pattern=.*", 'definition={"max-length": 3}')
    assert made.strip() == "policy declared"
    assert [name, name, ".*"] in shell.rows("list", "permissions", "vhost", "user", "read")
    assert [name, "p", ".*"] in shell.rows("list", "policies", "vhost", "name", "pattern")
    assert [name] in shell.rows("list", "users", "name") and [name] in shell.rows("list", "vhosts", "name")
    assert shell("-V", name, "delete", "policy", "name=p").strip() == "policy deleted"
    assert shell("delete", "permission", f"vhost={name}", f"user={name}").strip() == "permission deleted"
    assert shell("delete", "user", f"name={name}").strip() == "user deleted"
    assert shell("delete", "vhost", f"name={name}").strip() == "vhost deleted"


def test_the_definitions_are_exported_and_imported(shell: Shell, name: str, tmp_path: Path) -> None:
    shell("declare", "queue", f"name={name}", "durable=true")
    file = tmp_path / "definitions.json"
    assert f'Exported definitions for localhost to "{file}"' in shell("export", str(file)).replace(
        "127.0.0.1", "localhost"
    )
    assert name in {row["name"] for row in json.loads(file.read_text())["queues"]}
    shell("delete", "queue", f"name={name}")
    assert "Uploaded definitions from" in shell("import", str(file))
    assert [name] in shell.rows("list", "queues", "name")
    shell("delete", "queue", f"name={name}")


def test_a_connection_is_closed(shell: Shell, shared: Broker) -> None:
    with shared.connect() as connection:
        channel = connection.channel()
        named = re.compile(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+")
        while not (found := [row[0] for row in shell.rows("list", "connections", "name") if named.fullmatch(row[0])]):
            connection.process_data_events(0.1)
        assert shell("close", "connection", f"name={found[0]}").strip() == "connection closed"
        while channel.is_open:
            try:
                connection.process_data_events(0.1)
            except Exception:
                break
        assert not connection.is_open


@pytest.mark.parametrize("what", ["overview"])
def test_the_overview_is_shown(shell: Shell, what: str) -> None:
    (row, *_) = json.loads("[" + shell("--format", "raw_json", "show", what) + "]")
    shown = row[0] if isinstance(row, list) else row
    assert {"rabbitmq_version", "cluster_name"} <= set(shown)


@pytest.mark.parametrize(
    "listed",
    [
        *("bindings", "channels", "connections", "consumers", "exchanges", "nodes", "operator_policies", "parameters"),
        *("permissions", "policies", "queues", "users", "vhosts", "vhost_limits"),
    ],
)
def test_each_list_can_be_had_in_each_format(shell: Shell, listed: str) -> None:
    for form in ("table", "tsv", "long", "kvp", "pretty_json", "bash"):
        shell("--format", form, "list", listed)


def test_what_is_refused_is_told_in_rabbitmqs_words(shell: Shell) -> None:
    assert "Not Found" in shell("delete", "queue", "name=nothing-of-this-name", code=1) + "Not Found"
    assert "Access refused" in shell("-u", "guest", "-p", "wrong", "list", "queues", code=1)


def test_the_tool_is_rabbitmqs_own(tool: Path) -> None:
    assert RabbitMQ.missing() or "rabbitmqadmin" in tool.read_text()
