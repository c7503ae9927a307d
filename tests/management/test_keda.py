"""KEDA's RabbitMQ scaler over HTTP: the requests that it makes, letter by letter, and the fields that it reads of the answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pika
import pytest

from brokers import Broker
from management.support import Api

FIGURES_S = 60.0
VHOSTS = ("/", "of-keda/a+b%c")
NAMES = ("plain", "with space", "a/b", "a%b+c?d&e", "ünï.[x]")
SPACED = "with space"
"""In a path the scaler writes a space as +, which is none there, on RabbitMQ too: by pattern only it finds that queue."""


@pytest.fixture(scope="module", params=VHOSTS)
def room(request: pytest.FixtureRequest, shared: Broker) -> Iterator[Room]:
    api = Api(shared)
    vhost: str = request.param
    if vhost != "/":
        assert api("PUT", f"/vhosts/{quote(vhost, safe='')}", {}).status == 201
        granted = {"configure": ".*", "write": ".*", "read": ".*"}
        assert api("PUT", f"/permissions/{quote(vhost, safe='')}/guest", granted).status in (201, 204)
    with shared.connect(virtual_host=vhost) as connection:
        yield Room(api, vhost, connection)


class Room:
    """A virtual host with queues of 1, 2, 3… messages, of which a get holds one of each."""

    def __init__(self, api: Api, vhost: str, connection: Any) -> None:
        self.api = api
        self.vhost = quote_plus(vhost)
        channel = connection.channel()
        channel.confirm_delivery()
        for count, name in enumerate(NAMES, 1):
            channel.queue_declare(f"keda.{name}", durable=True)
            for _ in range(count):
                channel.basic_publish("", f"keda.{name}", b"x", pika.BasicProperties(delivery_mode=2))
            channel.basic_get(f"keda.{name}")

    def one(self, name: str) -> dict[str, Any]:
        """Without useRegex."""
        return self._read(f"/queues/{self.vhost}/{quote_plus(name)}")

    def matching(self, pattern: str, page_size: int = 100) -> dict[str, Any]:
        return self._read(
            f"/queues/{self.vhost}?page=1&use_regex=true&pagination=false&name={quote_plus(pattern)}&page_size={page_size}"
        )

    def _read(self, path: str) -> dict[str, Any]:
        answer = self.api("GET", path)
        assert answer.status == 200, (path, answer.text)
        read: dict[str, Any] = answer.json
        return read


def figures(row: dict[str, Any]) -> tuple[Any, Any]:
    return row.get("messages"), row.get("messages_ready")


RATES = {"publish_details", "deliver_get_details"}


def gathered(room: Room) -> None:
    """RabbitMQ's figures come after a while, and those of publishing and of getting not at once."""
    deadline = time.monotonic() + FIGURES_S
    while not all(
        figures(row) == (count, count - 1) and row.get("message_stats", {}).keys() >= RATES
        for count, name in enumerate(NAMES, 1)
        for row in room.matching(f"^keda.{re.escape(name)}$")["items"]
    ):
        assert time.monotonic() < deadline, "the figures do not come"


def test_the_length_is_found_with_and_without_what_is_unacknowledged_whatever_the_queue_is_called(room: Room) -> None:
    gathered(room)
    for count, name in enumerate(NAMES, 1):
        if name == SPACED:
            assert room.api("GET", f"/queues/{room.vhost}/keda.with+space").status == 404
            continue
        row = room.one(f"keda.{name}")
        assert (row["name"], row["messages"], row["messages_ready"]) == (f"keda.{name}", count, count - 1)
        assert row["messages_unacknowledged"] == 1


def test_rates_are_numbers(room: Room) -> None:
    gathered(room)
    for row in (room.one("keda.a/b"), *room.matching(r"^keda\.a/b$")["items"]):
        for kind in RATES:
            assert isinstance(row["message_stats"][kind]["rate"], int | float)


def test_queues_that_match_come_on_one_page_from_which_sum_average_and_maximum_are_made(room: Room) -> None:
    gathered(room)
    found = room.matching(r"^keda\.")
    lengths = sorted(row["messages"] for row in found["items"])
    assert (found["page_count"], lengths) == (1, [1, 2, 3, 4, 5])
    assert sorted(row["messages_ready"] for row in found["items"]) == [0, 1, 2, 3, 4]
    assert (sum(lengths), sum(lengths) // len(lengths), max(lengths)) == (15, 3, 5)


@pytest.mark.parametrize(
    ("pattern", "names"), [(r"^keda\.a[/%]", ["a%b+c?d&e", "a/b"]), (r"h s", ["with space"]), (r"\[x\]$", ["ünï.[x]"])]
)
def test_patterns_are_taken_as_they_were_before_they_were_escaped(room: Room, pattern: str, names: list[str]) -> None:
    assert sorted(row["name"] for row in room.matching(pattern)["items"]) == [f"keda.{name}" for name in names]


def test_more_than_a_page_of_matches_shows_in_the_number_of_pages(room: Room) -> None:
    assert room.matching(r"^keda\.", page_size=2)["page_count"] == 3


def test_a_queue_that_is_not_there_is_no_answer_of_200(room: Room) -> None:
    assert room.api("GET", f"/queues/{room.vhost}/keda.nothing").status == 404
