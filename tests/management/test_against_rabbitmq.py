"""Every field of RabbitMQ's management API, on a broker with one of everything: it is there, of the same type and value.

RabbitMQ's own answers, of the node installed here, are the expectation. What Leveret leaves out stands in LEFT_OUT, and
what may have another value in FREE; both are short, and both are held to be needed.
"""

from __future__ import annotations

import fnmatch
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest

from brokers import Leveret, RabbitMQ
from management.furnished import Furnished, furnish

GATHERED_S = 60

LISTS = (
    *(
        "overview",
        "nodes",
        "connections",
        "channels",
        "consumers",
        "exchanges",
        "queues",
        "bindings",
        "vhosts",
        "users",
    ),
    *("permissions", "topic-permissions", "policies", "operator-policies", "definitions", "parameters"),
    *("global-parameters", "vhost-limits", "user-limits", "whoami", "extensions", "cluster-name", "auth"),
)
ONES = (
    *("queues/%2F/plain", "queues/%2F/replicated", "queues/%2F/governed", "queues/%2F/own", "queues/%2F/urgent"),
    *("exchanges/%2F/straight", "exchanges/%2F/topical", "exchanges/%2F/amq.default", "vhosts/%2F", "vhosts/tenant"),
    *("users/simple", "users/simple/permissions", "users/simple/topic-permissions", "users/without-permissions"),
    *("permissions/%2F/simple", "topic-permissions/%2F/simple", "vhosts/%2F/permissions"),
    *("vhosts/%2F/topic-permissions", "vhosts/%2F/connections", "vhosts/%2F/channels"),
    *(
        "policies/%2F",
        "policies/%2F/length",
        "operator-policies/%2F/age",
        "definitions/%2F",
        "global-parameters/colour",
    ),
    *("parameters/vhost-limits", "parameters/vhost-limits/tenant", "parameters/vhost-limits/tenant/limits"),
    *("vhost-limits/tenant", "user-limits/simple", "nodes/{node}", "connections/{connection}", "channels/{channel}"),
    *("connections/{connection}/channels", "connections/username/guest", "consumers/%2F"),
    *(
        "queues/%2F/plain/bindings",
        "exchanges/%2F/straight/bindings/source",
        "exchanges/%2F/inner/bindings/destination",
    ),
    *("bindings/%2F/e/straight/q/plain", "bindings/%2F/e/straight/q/plain/key%2Fone", "bindings/%2F/e/fan/e/inner"),
)
HEALTH = (
    *("health/checks/alarms", "health/checks/local-alarms", "health/checks/certificate-expiration/1/weeks"),
    *(
        "health/checks/virtual-hosts",
        "health/checks/node-is-mirror-sync-critical",
        "health/checks/port-listener/{port}",
    ),
    *("health/checks/node-is-quorum-critical", "health/checks/protocol-listener/amqp", "healthchecks/node"),
    *("healthchecks/node/{node}", "aliveness-test/tenant"),
)
ASKED = (
    *("queues?page=1&page_size=3", "queues/%2F?page=2&page_size=3", "queues?page=1&name=nothing", "vhosts?page=1"),
    "queues?page=1&use_regex=true&pagination=false&name=^p&page_size=100",
    *("queues?sort=messages&columns=name,messages", "queues?sort=messages&sort_reverse=true&columns=name,messages"),
    *(
        "queues?sort=name&sort_reverse=true&columns=name",
        "queues?page=1&name=^pl&use_regex=true&columns=name,message_stats.publish",
    ),
    *(
        "queues?disable_stats=true",
        "queues?disable_stats=true&enable_queue_totals=true",
        "exchanges?page=1&page_size=4",
    ),
    *("queues/%2F/plain?columns=name,messages", "connections?page=1", "channels?page=1&page_size=1"),
    *(
        "exchanges/%2F?sort=message_stats.publish_in&sort_reverse=true&columns=name&page=1&page_size=1",
        "bindings?page=1",
    ),
    "queues/%2F/plain?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5",
    *("overview?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5", "queues?name=pl&columns=name"),
    *(
        "nodes/{node}?node_stats_age=60&node_stats_incr=5",
        "connections/{connection}?data_rates_age=60&data_rates_incr=5",
    ),
)
MISTAKES = (
    *("queues?page=0", "queues?page=x", "queues?page=1&page_size=501", "queues?page=99", "queues?page=1&page_size=0"),
    *("queues?page=1&use_regex=true&name=(", "queues/nowhere", "queues/%2F/nothing", "exchanges/nowhere"),
    *("exchanges/%2F/nothing", "bindings/nowhere", "vhosts/nothing", "users/nothing", "connections/nothing"),
    *("channels/nothing", "permissions/%2F/nobody", "permissions/nowhere/guest", "policies/nowhere"),
    *("policies/%2F/nothing", "operator-policies/%2F/nothing", "consumers/nowhere", "parameters/nothing"),
    *("parameters/vhost-limits/nowhere", "global-parameters/nothing", "vhost-limits/nowhere", "nothing"),
    *("bindings/%2F/e/straight/q/plain/nothing", "health/checks/port-listener/1", "aliveness-test/nowhere"),
    *(
        "health/checks/protocol-listener/nothing",
        "rebalance/queues",
        "definitions/nowhere",
        "vhosts/nothing/permissions",
    ),
)

LEFT_OUT = {
    # Of Erlang's processes, of which there are none.
    "*.garbage_collection": "an Erlang process's collector",
    "*.reductions": "Erlang's measure of work",
    "*.reductions_details": "the same",
    "overview.erlang_version": "there is no Erlang",
    "overview.erlang_full_version": "there is no Erlang",
    "*.net_ticktime": "of Erlang's distribution",
    "*.metrics_gc_queue_length": "of the statistics database's processes",
    "*.ra_open_file_metrics": "of the Raft log",
    # Of what RabbitMQ's queues are made of.
    "*.socket_opts": "of Erlang's listeners",
    "*_avg_time_details.samples": "averages are of the whole time",
    "*.backing_queue_status": "the inside of a classic queue",
    "*.recoverable_slaves": "of mirrored queues",
    "*.messages_persistent": "would cost every message some time; all that is durable and persistent is on disk",
    "*.message_bytes_persistent": "the same",
    # Who declared something is not recorded.
    "exchanges*.user_who_performed_action": "not recorded",
    # What serves HTTP there.
    "*.contexts.protocol": "of Cowboy",
    "*.contexts.cowboy_opts": "of Cowboy",
    "extensions[0]": "of RabbitMQ's own pages",
}
"""By path, where * stands for anything."""

FREE = (
    # Names, addresses and times.
    *(
        "*node",
        "*.name{connection}",
        "*_name",
        "*.peer_port",
        "*.port",
        "*.host",
        "*ip",
        "*ip_address",
        "*connected_at",
    ),
    *("*idle_since", "*.os_pid", "*uptime", "*version", "*cluster_name", "*cluster-name.name", "*password_hash"),
    *("*.leader", "*.members[0]", "*.online[0]", "*.timestamp", "*owner_pid_details.name", "*connection_details.name"),
    *("*channel_details.name", "*.cluster_state*", "*connections*.name", "*channels*.name"),
    # What the machine and the process use.
    *(
        "*_rate",
        "*.rate",
        "*.avg",
        "*samples*.sample",
        "*recv_*",
        "*send_*",
        "*.memory",
        "*_limit",
        "*_used",
        "*_total",
    ),
    *("*.disk_free", "*_num", "*_reclaimed", "*context_switches", "*_avg_time", "nodes*_count", "nodes*_bytes"),
    *("*.processors", "*.run_queue", "*.log_files*", "*.db_dir", "*.config_files*", "*.enabled_plugins*"),
    *("*.applications*", "*.listeners*", "*.contexts*", "*.exchange_types*", "*.auth_mechanisms*", "*socket_opts*"),
    *("*sample_retention_policies*", "*.description", "*consumer_capacity", "*consumer_utilisation", "*.product_name"),
    *("*.auth_mechanism", "*churn_rates.*", "nodes*_created", "nodes*_closed", "nodes*_deleted", "nodes*_declared"),
    # RabbitMQ counts some later, or not until something happens: disk, the aliveness test's queue, quorum queues.
    *(
        "*.messages_ram",
        "*.message_bytes_ram",
        "*.exclusive",
        "*ssl_*",
        "*.peer_cert_*",
        "nodes*.name",
        "*.open_files*",
    ),
    *("*disk_reads", "*disk_writes", "overview.object_totals.*", "*.queue_totals.*", "overview*.message_stats.*"),
    *("vhosts*.messages*", "vhosts*.message_stats.*", "*.properties_key", "*internal_cluster_id*"),
)


@pytest.fixture(scope="module")
def rooms() -> Iterator[tuple[Furnished, Furnished]]:
    """RabbitMQ's and Leveret's, each with one of everything, as soon as all of it is gathered."""
    if RabbitMQ.missing():
        pytest.skip(RabbitMQ.missing())
    with ExitStack() as stack:
        made = []
        for kind in (RabbitMQ, Leveret):
            broker = kind(management=True, metrics=True)
            stack.callback(broker.remove)
            broker.start()
            made.append(stack.enter_context(furnish(broker)))
        for room in made:
            wait_until_gathered(room)
        yield made[0], made[1]


def wait_until_gathered(room: Furnished) -> None:
    """RabbitMQ's figures come after the fact."""
    deadline = time.monotonic() + GATHERED_S
    while not gathered(room):
        assert time.monotonic() < deadline, "the figures do not come"
        room.connection.process_data_events(0.2)


def gathered(room: Furnished) -> bool:
    """Its statistics may be asked for before they can answer: then there is no JSON, or not all of it."""
    try:
        return is_gathered(room)
    except (ValueError, KeyError, IndexError):
        return False


def is_gathered(room: Furnished) -> bool:
    queues = {row["name"]: row for row in room.api("GET", "/queues").json}
    channels = room.api("GET", "/channels").json
    return (
        all("messages_ready_details" in row for row in queues.values())
        and queues["plain"].get("message_stats", {}).get("ack") == 1
        and queues["plain"]["messages_unacknowledged"] == queues["plain"]["consumers"] + 1 == 2
        and queues["governed"]["messages_unacknowledged"] == 1
        and len(channels) == 2
        and all("message_stats" in row and "connection_details" in row for row in channels)
        and len(room.api("GET", "/consumers").json) == 2
        and "recv_oct" in room.api("GET", "/connections").json[0]
        and "publish" in room.api("GET", "/overview").json.get("message_stats", {})
        and "mem_used" in room.api("GET", "/nodes").json[0]
    )


def path_in(room: Furnished, path: str) -> str:
    if "{" not in path:
        return path
    names = {
        "node": room.api("GET", "/overview").json["node"],
        "connection": quote(room.api("GET", "/connections").json[0]["name"], safe=""),
        "channel": quote(room.api("GET", "/channels?sort=number").json[0]["name"], safe=""),
        "port": str(room.broker.port),
    }
    return path.format(**names)


def asked(room: Furnished, path: str) -> Any:
    answer = room.api("GET", "/" + path_in(room, path))
    assert answer.status == 200, (path, answer.status, answer.text)
    return answer.json


KEYS = (
    "vhost",
    "name",
    "source",
    "destination_type",
    "destination",
    "routing_key",
    "user",
    "exchange",
    "consumer_tag",
    "number",
)


def keyed(rows: list[Any]) -> dict[str, Any]:
    """Rows by what makes them what they are; the order is the brokers' own. The aliveness test's queue comes and goes."""
    if not all(isinstance(row, dict) for row in rows):
        return {str(number): row for number, row in enumerate(rows)}
    rows = [row for row in rows if "aliveness-test" not in (row.get("name"), row.get("destination"))]
    named = [[row.get(key) for key in KEYS if not is_changing(str(row.get(key)))] for row in rows]
    if not all(map(any, named)):
        return {str(number): row for number, row in enumerate(rows)}
    return {json.dumps(name): row for name, row in zip(named, rows, strict=True)}


def is_changing(name: str) -> bool:
    return name.startswith("127.0.0.1:") or name.endswith("@localhost")


def kind_of(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(type(value))
    return "number" if isinstance(value, int | float) else str(type(value))


def among(path: str, patterns: Any) -> str | None:
    return next((one for one in patterns if fnmatch.fnmatchcase(path, one.replace("[0]", "[[]0]"))), None)


class Comparison:
    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.left_out: set[str] = set()

    def compare(self, path: str, theirs: Any, ours: Any) -> None:
        if among(path, LEFT_OUT) is not None:
            return
        if kind_of(theirs) != kind_of(ours):
            if among(path, FREE) is None or None not in (theirs, ours):
                self.wrong.append(f"{path}: {theirs!r} in RabbitMQ, {ours!r} here")
        elif isinstance(theirs, dict):
            self.objects(path, theirs, ours)
        elif isinstance(theirs, list):
            self.lists(path, theirs, ours)
        elif theirs != ours and among(path, FREE) is None:
            self.wrong.append(f"{path}: {theirs!r} in RabbitMQ, {ours!r} here")

    def objects(self, path: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        for key, value in theirs.items():
            inner = f"{path}.{key}"
            if key in ours:
                self.compare(inner, value, ours[key])
            elif among(inner, LEFT_OUT) is not None:
                self.left_out.add(str(among(inner, LEFT_OUT)))
            elif among(inner, FREE) is None:
                self.wrong.append(f"{inner} is missing")

    def lists(self, path: str, theirs: list[Any], ours: list[Any]) -> None:
        rows, own = keyed(theirs), keyed(ours)
        for key, row in rows.items():
            where = f"{path}[{key}]" if not isinstance(row, dict) else path
            if key in own:
                self.compare(where, row, own[key])
            elif among(f"{path}[0]", LEFT_OUT) is not None:
                self.left_out.add(str(among(f"{path}[0]", LEFT_OUT)))
            elif among(where, FREE) is None and among(f"{path}.{key}", FREE) is None:
                self.wrong.append(f"{path}: no row {key}")


def compared(rooms: tuple[Furnished, Furnished], path: str) -> Comparison:
    found = Comparison()
    rabbitmq, leveret = rooms
    found.compare(path, asked(rabbitmq, path), asked(leveret, path))
    return found


@pytest.mark.parametrize("path", [*LISTS, *ONES, *HEALTH, *ASKED])
def test_every_field_of_rabbitmq_is_there(rooms: tuple[Furnished, Furnished], path: str) -> None:
    wrong = compared(rooms, path).wrong
    assert not wrong, "\n".join(wrong)


def test_nothing_is_said_to_be_left_out_that_is_not(rooms: tuple[Furnished, Furnished]) -> None:
    left_out = set()
    for path in (*LISTS, *ONES, *ASKED):
        left_out |= compared(rooms, path).left_out
    assert set(LEFT_OUT) - left_out <= {"*.contexts.cowboy_opts"}


@pytest.mark.parametrize("path", MISTAKES)
def test_mistakes_have_rabbitmqs_status_and_words(rooms: tuple[Furnished, Furnished], path: str) -> None:
    theirs, ours = (room.api("GET", "/" + path) for room in rooms)
    assert (ours.status, shown(ours.text)) == (theirs.status, shown(theirs.text))


def shown(text: str) -> Any:
    """Ports, protocols and how many queues there are differ."""
    said = json.loads(text) if text else None
    if isinstance(said, dict):
        for key in ("ports", "protocols"):
            said.pop(key, None)
        said["reason"] = str(said.get("reason")).partition(", len:")[0]
    return said
