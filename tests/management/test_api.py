"""The management API: RabbitMQ's fields, the same on both brokers where a test is parametrised."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from brokers import Leveret
from management.support import Api


@pytest.fixture(scope="module")
def leveret() -> Iterator[Leveret]:
    own = Leveret(management=True)
    own.start()
    yield own
    own.remove()


def get(broker: Leveret, path: str, user: str = "guest:guest") -> Any:
    token = base64.b64encode(user.encode()).decode()
    url = f"http://127.0.0.1:{broker.management_port}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def cli(broker: Leveret, *arguments: str) -> subprocess.CompletedProcess[str]:
    url = f"http://guest:guest@127.0.0.1:{broker.management_port}"
    return subprocess.run(
        [sys.executable, "-m", "leveret", *arguments, "--management", url], capture_output=True, text=True, timeout=60
    )


def test_a_forgotten_ack_can_be_found(leveret: Leveret) -> None:
    with leveret.connect(client_properties={"connection_name": "forgetful"}) as connection:
        channel = connection.channel()
        channel.queue_declare("held/queue")
        for _ in range(3):
            channel.basic_publish("", "held/queue", b"body")
        channel.basic_get("held/queue")
        (queue,) = (row for row in get(leveret, "/api/queues") if row["name"] == "held/queue")
        assert (queue["messages_ready"], queue["messages_unacknowledged"], queue["messages"]) == (2, 1, 3)
        assert get(leveret, "/api/queues/%2F/held%2Fqueue")["messages_unacknowledged"] == 1
        (held,) = get(leveret, "/api/unacked")
        assert (held["queue"], held["client"], held["delivery_tag"]) == ("held/queue", "forgetful", 1)
        listed = cli(leveret, "list-queues", "name", "messages_ready", "messages_unacknowledged", "--formatter", "csv")
        assert "held/queue,2,1" in listed.stdout.splitlines()
        assert "forgetful" in cli(leveret, "unacked").stdout
        channel.queue_delete("held/queue")


def test_connections_channels_and_consumers_are_listed(leveret: Leveret) -> None:
    with leveret.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("q", exclusive=True)
        channel.basic_qos(prefetch_count=7)
        channel.basic_consume("q", lambda *_: None, consumer_tag="tag")
        (consumer,) = get(leveret, "/api/consumers")
        assert (consumer["consumer_tag"], consumer["prefetch_count"]) == ("tag", 7)
        assert consumer["queue"] == {"name": "q", "vhost": "/"}
        (listed,) = get(leveret, "/api/channels")
        assert (listed["number"], listed["consumer_count"]) == (1, 1)
        (one,) = get(leveret, "/api/connections")
        assert (one["user"], one["state"], one["protocol"]) == ("guest", "running", "AMQP 0-9-1")
        assert get(leveret, "/api/overview")["object_totals"]["consumers"] == 1


@pytest.mark.parametrize(
    ("path", "user", "status"),
    [
        ("/api/overview", "guest:wrong", 401),
        ("/api/overview", "", 401),
        ("/api/queues/%2F/nope", "guest:guest", 404),
        ("/api/queues/nope", "guest:guest", 404),
        ("/api/queues?page=zero", "guest:guest", 400),
    ],
)
def test_errors_have_their_status(leveret: Leveret, path: str, user: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(leveret, path, user)
    assert caught.value.code == status
    assert set(json.load(caught.value)) == {"error", "reason"}


def test_lists_can_be_paged_sorted_and_cut_to_columns(leveret: Leveret) -> None:
    with leveret.connect() as connection:
        channel = connection.channel()
        for name in ("c", "a", "b"):
            channel.queue_declare(name, exclusive=True)
        page = get(leveret, "/api/queues?sort=name&columns=name&page=1&page_size=2")
        assert page["items"] == [{"name": "a"}, {"name": "b"}], page
        assert (page["page_count"], page["total_count"]) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["list-queues", "--management", "nonsense"], 2, "expected http://USER:PASSWORD@HOST:PORT"),
        (["list-queues", "--management", "http://127.0.0.1:1"], 1, "is the broker running?"),
        (["broker", "--no-tcp"], 2, "--no-tcp needs --socket PATH"),
        (["broker", "--port", "99999"], 2, "65535"),
        (["broker", "--log-level", "loud"], 2, "expected debug, info, warning or error"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_on_the_command_line_says_what_is_wrong(arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "leveret", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert said in done.stderr and "Traceback" not in done.stderr


def test_version_tells_how_it_was_built() -> None:
    done = subprocess.run([sys.executable, "-m", "leveret", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("leveret 0.1.0, ") and ("compiled" in done.stdout or "pure Python" in done.stdout)


def test_a_slash_at_the_end_of_a_path_means_nothing_but_two_do(api: Api, name: str) -> None:
    api("PUT", f"/queues/%2F/{name}/", {})
    assert api("GET", f"/queues/%2F/{name}/").json["name"] == name
    assert [api("GET", path).status for path in ("/queues/", "/overview/", "/queues//")] == [200, 200, 404]
