"""The workers' page in a browser: lanes, the live timeline, what a worker runs, and telling it to rest or to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from brokers import Broker
from dashboard.conftest import Sight
from dashboard.place import WAIT_MS, Place
from dashboard.program import HOSTILE, Shop, publish, unscripted, until, worker_of
from dashboard.test_queues import expect, stat
from leveret.tasks.events import Beat, Running, Started, Succeeded
from worker.support import working

BARS = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const columns = new Set();
  for (let place = 3; place < data.length; place += 4) {
    if (data[place] > 150) columns.add(((place - 3) / 4) % canvas.width);
  }
  return columns.size;
}"""
"""In how many columns of pixels anything stands; the lines of the grid are a few."""


@pytest.fixture
def shop(place: Place, name: str) -> Iterator[Shop]:
    shop = Shop(place, name)
    try:
        yield shop
    finally:
        shop.close()


def test_a_worker_appears_with_what_it_runs_how_far_that_is_and_goes_again(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=2):
        sent = shop.slow.send("x")
        shop.wait_until_begun()
        lane = worker_of(page, shop)
        expect(lane.locator(".lane-now")).to_contain_text(sent.task)
        expect(lane.locator(".lane-now")).to_contain_text("3 of 4 nearly")
        expect(lane.locator(".slots-text")).to_have_text("1/2")
        shop.goes_on.set()
        expect(lane.locator(".lane-now")).to_have_text("idle")
        expect(lane.locator(".slots-text")).to_have_text("0/2")
    expect(page.get_by_text("No worker")).to_be_visible()


def test_the_timeline_has_a_bar_for_each_task_that_leads_to_it(look: Sight, shop: Shop) -> None:
    page = look("/#/workers?window=30")
    with working(shop.work, threads=1):
        sent = shop.slow.send("x")
        shop.wait_until_begun()
        canvas = worker_of(page, shop).locator("canvas")
        until(lambda: canvas.evaluate(BARS) > 20)
        box = canvas.bounding_box()
        canvas.hover(position={"x": box["width"] - 3, "y": box["height"] / 2})
        expect(page.locator(".lane-strip .chart-hint")).to_contain_text(sent.id)
        canvas.click(position={"x": box["width"] - 3, "y": box["height"] / 2})
        expect(page.get_by_role("heading", level=1)).to_have_text(sent.task)
        shop.goes_on.set()


def test_a_worker_is_told_to_take_nothing_new_and_to_go_on(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=1):
        lane = worker_of(page, shop)
        lane.get_by_role("button", name="Quiet").click()
        expect(lane.get_by_text("quiet", exact=True)).to_be_visible()
        shop.slow.send()
        assert not shop.begun.acquire(timeout=0.5), "it takes nothing while it is quiet"
        assert shop.place.ready(shop.queue) == 1
        lane.get_by_role("button", name="take tasks again").click()
        shop.wait_until_begun()
        expect(lane.get_by_text("quiet", exact=True)).to_have_count(0)
        shop.goes_on.set()


def test_a_worker_is_told_to_stop_after_a_question(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=1) as worker:
        lane = worker_of(page, shop)
        lane.get_by_role("button", name="Stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        assert not worker.stopping
        lane.get_by_role("button", name="Stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        expect(page.get_by_text("No worker")).to_be_visible()
        assert worker.stopping


@pytest.fixture
def crowd(broker_kind: type[Broker]) -> Iterator[Place]:
    """A place of its own: what is said there concerns nobody else."""
    there = Place(broker_kind(management=True))
    try:
        there.start()
        yield there
    finally:
        there.stop()


def sight(browser: Any, place: Place, path: str) -> Any:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_MS)
    form = {"user": "guest", "password": "guest"}
    assert context.request.post(f"{place.url}/ui/login", data=form, headers={"Origin": place.url}).ok
    page = context.new_page()
    page.goto(place.url + path)
    return page


def beat(number: int, **more: Any) -> Beat:
    running = [Running(task=HOSTILE, id=f"id-{number}", queue="q", since=time.time() - 5, done=1, total=3, text="<b>x")]
    about: dict[str, Any] = {
        "worker": f"host-{number:04}:1:x",
        "host": f"host-{number:04}",
        "pid": 1,
        "program": "crowd" if number else HOSTILE,
        "time": time.time(),
        "every_s": 60.0,
        "slots": 4,
        "busy": 1,
        "queues": ["q"],
        "running": running,
    }
    return Beat(**{**about, **more})


def test_of_a_thousand_workers_only_those_that_are_seen_are_in_the_page(browser: Any, crowd: Place) -> None:
    page = sight(browser, crowd, "/#/workers")
    # RabbitMQ's listener may not be bound yet when the page is there: what nobody heard is said again.
    workers = stat(page, "Workers")
    for _ in range(10):
        publish(crowd, [beat(number) for number in range(1000)])
        page.wait_for_timeout(2_000)
        if workers.inner_text().startswith("1,000"):
            break
    expect(workers).to_contain_text("1,000")
    expect(stat(page, "Busy slots")).to_contain_text("1,000/4,000")
    lanes = page.locator("li.lane")
    assert 8 < lanes.count() < 40
    ended = [Started(worker="host-0999:1:x", task="t", id="seen", queue="q", time=time.time() - 3)]
    ended += [Succeeded(worker="host-0999:1:x", task="t", id="seen", queue="q", time=time.time(), took_s=3)]  # type: ignore[list-item]
    publish(crowd, list(ended))
    page.locator(".lanes-scroll").evaluate("element => { element.scrollTop = element.scrollHeight; }")
    expect(page.get_by_text("host-0999:1")).to_be_visible()
    expect(page.get_by_text("host-0001:1", exact=True)).to_have_count(0)
    assert lanes.count() < 40
    expect(page.locator("li.lane").last).to_have_attribute("aria-setsize", "1000")
    page.get_by_label("Filter by name, host or queue").fill("host-0500")
    expect(lanes).to_have_count(1)
    expect(lanes.first).to_contain_text(HOSTILE)
    assert unscripted(page)
    page.context.close()
