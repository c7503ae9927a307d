"""A program with tasks of every fate, its worker in this process, and what a browser's tests say to both. Used by the tests here."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import msgspec
import pika

from dashboard.place import Place
from leveret.tasks import Retries, WorkQueue, current_task
from leveret.tasks.events import EXCHANGE, Beat, Event, address, kind_of
from worker.support import WITHIN_S

HOSTILE = "<img src=x onerror=alert(1)> & 'ü' %2F/../"
"""A name, and an argument, of somebody who means no good."""


class Shop:
    """Queues and tasks have names of their own for each `name`."""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.queue = f"shop.{name}"
        self.work = WorkQueue(place.broker.url, name=f"program-{name}", default_queue=self.queue)
        self.begun, self.goes_on = threading.Semaphore(0), threading.Event()
        self.works = threading.Event()
        self.slow = self.work.task(name=f"slow-{name}")(self._slow)
        self.quick = self.work.task(name=f"quick-{name}")(self._quick)
        self.fails = self.work.task(name=f"fails-{name}", retry=Retries(attempts=2, first_s=0.1))(self._fail)
        self.later = self.work.task(name=f"later-{name}", retry=Retries(attempts=2, first_s=3600))(self._fail)

    def _slow(self, argument: str = "") -> str:
        current_task().progress(3, 4, "nearly")
        self.begun.release()
        assert self.goes_on.wait(4 * WITHIN_S)
        return HOSTILE

    def _quick(self, argument: str = "") -> None:
        """Done at once."""

    def _fail(self, argument: str = "") -> None:
        if not self.works.is_set():
            raise ValueError(f"no good: {argument}")

    def wait_until_begun(self) -> None:
        assert self.begun.acquire(timeout=2 * WITHIN_S)

    def close(self) -> None:
        self.goes_on.set()
        self.work.close()


def worker_of(page: Any, shop: Shop) -> Any:
    """The lane of the shop's worker, once that has been heard of."""
    page.get_by_label("Filter by name, host or queue").fill(shop.queue)
    return page.locator("li.lane").first


def publish(place: Place, events: list[Event]) -> None:
    """As workers do: each under its own key."""
    channel = place.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    for event in events:
        of = event.worker if isinstance(event, Beat) else getattr(event, "queue", "")
        channel.basic_publish(
            EXCHANGE, address(kind_of(event), of), msgspec.json.encode([event]), pika.BasicProperties()
        )
    channel.connection.close()


def until(what: Any, within_s: float = 2 * WITHIN_S) -> None:
    """Ask the broker until it is so."""
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.05)


def matching(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text))


def unscripted(page: Any) -> bool:
    """Nothing that others wrote has become an element."""
    return bool(page.evaluate("document.querySelectorAll('main script, main img').length === 0"))
