"""`leveret why` on both brokers: each place where a task can be is told, and looking changes nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from typer.testing import CliRunner

from brokers import Broker
from leveret.cli.main import application
from leveret.tasks import Concurrency, Reject, Retries, WorkQueue
from leveret.tasks.ladder import UNDELIVERED
from leveret.tasks.topology import dead_queue
from worker.support import WITHIN_S, declare, until_ready, working


@pytest.fixture(scope="module")
def watched(broker_kind: type[Broker]) -> Iterator[Broker]:
    """A broker with its management API, for the tests of this module."""
    own = broker_kind(management=True)
    try:
        own.start()
        yield own
    finally:
        own.remove()


def why(broker: Broker, id: str, *arguments: str) -> dict[str, Any]:
    asked = ["why", id, "--url", broker.url, "--management", broker.management_url, "--formatter", "json", *arguments]
    result = CliRunner().invoke(application(), asked)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["id"] == id
    return dict(row)


def until(look: Callable[[], dict[str, Any]], state: str) -> dict[str, Any]:
    """What it says once it says that: figures of RabbitMQ and beats of workers take their seconds."""
    deadline = time.monotonic() + 2 * WITHIN_S
    while (told := look())["state"] != state:
        assert time.monotonic() < deadline, told
    return told


class Shop:
    """A program whose tasks wait until they are let go on."""

    def __init__(self, url: str, name: str) -> None:
        self.work = WorkQueue(url, name=f"shop-{name}", default_queue=f"why.{name}")
        self.queue = self.work.default_queue
        self.begun, self.goes_on = threading.Semaphore(0), threading.Event()
        self.slow = self.work.task(name="slow")(self._slow)
        self.single = self.work.task(name="single", concurrency=Concurrency(1))(self._slow)
        self.failing = self.work.task(name="failing", retry=Retries(attempts=2, first_s=3000))(self._fail)
        self.rejected = self.work.task(name="rejected")(self._reject)

    def _slow(self) -> None:
        self.begun.release()
        assert self.goes_on.wait(4 * WITHIN_S)

    def _fail(self) -> None:
        raise ValueError("no good")

    def _reject(self) -> None:
        raise Reject("gone")


@pytest.fixture
def shop(watched: Broker, name: str) -> Iterator[Shop]:
    shop = Shop(watched.url, name)
    try:
        yield shop
    finally:
        shop.goes_on.set()
        shop.work.close()


def test_it_waits_behind_others_and_nobody_takes_from_its_queue(watched: Broker, shop: Shop) -> None:
    first, _, third = [shop.slow.send() for _ in range(3)]
    told = why(watched, third.id)
    assert (told["state"], told["facts"]["because"], told["facts"]["before"]) == ("waiting", "no-consumers", 2)
    assert told["reason"] == f'It waits in queue "{shop.queue}" behind 2 others, and nobody takes from that queue.'
    assert f"--queues {shop.queue}" in told["advice"]
    assert told["since"] == pytest.approx(time.time(), abs=60)
    assert why(watched, first.id)["facts"]["before"] == 0


def test_looking_takes_nothing_out_and_on_leverets_broker_marks_nothing(watched: Broker, shop: Shop) -> None:
    sent = [shop.slow.send().id for _ in range(3)]
    why(watched, sent[1])
    with watched.connect() as connection:
        channel = connection.channel()
        got = [channel.basic_get(shop.queue, auto_ack=True) for _ in range(3)]
    assert [properties.message_id for _, properties, _ in got] == sent
    if watched.kind == "leveret":
        assert not any(method.redelivered for method, _, _ in got)


def test_all_slots_are_busy(watched: Broker, shop: Shop) -> None:
    with working(shop.work, threads=1):
        running, waiting = shop.slow.send(), shop.slow.send()
        assert shop.begun.acquire(timeout=WITHIN_S)
        told = until(lambda: why(watched, running.id), "running")
        assert told["facts"]["task"] == "slow" and "process " in told["reason"]
        told = until(lambda: why(watched, waiting.id), "waiting")
        assert told["facts"]["because"] == "busy", told
        assert ": all 1 slots of 1 worker are busy" in told["reason"]
        shop.goes_on.set()


def test_it_is_delayed_until(watched: Broker, shop: Shop) -> None:
    due = time.time() + 3600
    told = why(watched, shop.slow.options(delay=3600).send().id)
    assert (told["state"], told["facts"]["queue"]) == ("delayed", shop.queue)
    assert told["until"] == pytest.approx(due, abs=30)
    assert "is due in 59 min" in told["reason"] or "is due in 1 h 0 min" in told["reason"]


def test_it_is_told_when_the_next_attempt_is_made_and_what_failed(watched: Broker, shop: Shop) -> None:
    with working(shop.work, threads=1):
        id = shop.failing.send().id
        told = until(lambda: why(watched, id, "--queue", shop.queue), "retrying")
    assert told["reason"].startswith("Attempt 1 failed (ValueError: no good); the next one is made in ")
    assert told["until"] > time.time() + 1000


def test_it_waits_for_a_limit(watched: Broker, shop: Shop) -> None:
    with working(shop.work, threads=3):
        ids = {shop.single.send().id for _ in range(2)}
        assert shop.begun.acquire(timeout=WITHIN_S)
        states: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + 2 * WITHIN_S
        while set(states) != {"running", "limited"}:
            states = {told["state"]: told for told in (why(watched, id) for id in ids)}
            assert time.monotonic() < deadline, states
        limited = states["limited"]["facts"]
        assert (limited["limit"], limited["name"], limited["queue"]) == ("concurrency", "single", shop.queue)
        assert "as its concurrency limit allows" in states["limited"]["reason"]
        shop.goes_on.set()


def test_it_was_given_up_with_a_reason(watched: Broker, shop: Shop) -> None:
    with working(shop.work, threads=1):
        id = shop.rejected.send().id
        with watched.connect() as connection:
            channel = connection.channel()
            declare(channel, dead_queue(shop.queue))
            until_ready(channel, dead_queue(shop.queue), 1)
    told = why(watched, id)
    assert (told["state"], told["facts"]["why"], told["facts"]["queue"]) == ("parked", "rejected", shop.queue)
    assert "gone" in told["reason"] and "leveret dead" in told["advice"]


def test_it_was_cancelled_and_lies_where_it_was(watched: Broker, shop: Shop) -> None:
    sent = shop.slow.options(delay=3600).send()
    sent.cancel()
    assert why(watched, sent.id)["state"] == "cancelled"


def test_it_has_expired(watched: Broker, shop: Shop, name: str) -> None:
    published(watched, shop.queue, name, {"x-leveret-expires": 1000})
    told = why(watched, name)
    assert (told["state"], told["until"]) == ("expired", 1.0)


def test_it_came_down_and_its_queue_is_gone(watched: Broker, name: str) -> None:
    with watched.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(UNDELIVERED, durable=True)
        channel.exchange_declare(UNDELIVERED, "fanout", durable=True)
        channel.queue_bind(UNDELIVERED, UNDELIVERED)
        key = ".".join("0" * 26) + ".no%2Equeue"
        channel.basic_publish(UNDELIVERED, key, b"", pika.BasicProperties(message_id=name, delivery_mode=2))
    told = why(watched, name)
    assert told["state"] == "stranded" and '"no.queue"' in told["reason"]


def test_who_holds_it_and_does_not_work_on_it(watched: Broker, shop: Shop, name: str) -> None:
    published(watched, shop.queue, name, {})
    with watched.connect(client_properties={"connection_name": "the forgetful"}) as connection:
        channel = connection.channel()
        channel.basic_consume(shop.queue, lambda *_: None)
        connection.process_data_events(time_limit=1)
        if watched.kind == "leveret":
            told = until(lambda: why(watched, name), "held")
            assert '"the forgetful"' in told["reason"]
            assert told["since"] == pytest.approx(time.time(), abs=60)
        else:
            told = why(watched, name, "--queue", shop.queue)
            assert told["state"] == "unknown"


def test_it_is_done(watched: Broker, shop: Shop) -> None:
    shop.goes_on.set()
    with working(shop.work, threads=1):
        id = shop.slow.send().id
        if watched.kind == "leveret":
            told = until(lambda: why(watched, id), "done")
            assert (told["reason"], told["facts"]) == ("It is done.", {"task": "slow", "queue": shop.queue})
        else:
            assert shop.begun.acquire(timeout=WITHIN_S)
            until(lambda: why(watched, id), "unknown")


def test_nobody_knows_it(watched: Broker, name: str) -> None:
    told = why(watched, f"never-{name}")
    assert told["state"] == "unknown"
    assert "never confirmed" in told["advice"]


def test_a_name_that_would_steer_the_terminal_is_shown_harmlessly(watched: Broker, name: str) -> None:
    queue = f"bad\x1b[31m{name}"
    published(watched, queue, name, {})
    result = CliRunner().invoke(
        application(), ["why", name, "--url", watched.url, "--management", watched.management_url]
    )
    assert result.exit_code == 0 and "\x1b" not in result.stdout
    assert f"bad\\x1b[31m{name}" in result.stdout


def test_without_a_management_api_the_queues_that_are_named_are_looked_into(broker: Broker, name: str) -> None:
    published(broker, name, f"id-{name}", {})
    result = CliRunner().invoke(
        application(), ["why", f"id-{name}", "--url", broker.url, "--queue", name, "--formatter", "json"]
    )
    (told,) = json.loads(result.stdout)
    assert (told["state"], told["facts"]["before"]) == ("waiting", 0)


def published(broker: Broker, queue: str, id: str, headers: dict[str, Any]) -> None:
    with broker.connect() as connection:
        channel = connection.channel()
        declare(channel, queue)
        channel.confirm_delivery()
        properties = pika.BasicProperties(message_id=id, type="slow", headers=headers, delivery_mode=2)
        channel.basic_publish("", queue, b"{}", properties)


def test_its_queue_is_paused(watched: Broker, shop: Shop) -> None:
    id = shop.slow.send().id
    shop.work.pause(shop.queue)
    told = why(watched, id)
    assert (told["state"], told["facts"]["because"]) == ("waiting", "paused")
    assert told["reason"].endswith("as the first, which is paused.")
