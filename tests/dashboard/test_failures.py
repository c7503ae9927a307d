"""Failures in a browser: dead letters grouped, their tracebacks, sent again, changed first, or thrown away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from dashboard.conftest import Sight
from dashboard.place import Place, at
from dashboard.program import HOSTILE, Shop, unscripted, until
from dashboard.test_queues import expect
from leveret.tasks.topology import dead_queue
from worker.support import declare, until_ready, working


@pytest.fixture
def shop(place: Place, name: str) -> Iterator[Shop]:
    shop = Shop(place, name)
    try:
        yield shop
    finally:
        shop.close()


def park(
    place: Place, queue: str, id: str, *, task: str = "t", exception: str = "ValueError", error: str = "no"
) -> None:
    """A dead letter as a worker leaves it."""
    channel = place.channel()
    channel.confirm_delivery()
    for name in (queue, dead_queue(queue)):
        declare(channel, name)
    headers = {
        "x-leveret-attempt": 2,
        "x-leveret-reason": "attempts",
        "x-leveret-queue": queue,
        "x-leveret-exception": exception,
        "x-leveret-error": error,
        "x-leveret-traceback": f"Traceback\n  {error}",
    }
    properties = pika.BasicProperties(message_id=id, type=task, headers=headers, delivery_mode=2)
    channel.basic_publish("", dead_queue(queue), json.dumps({"args": [error]}).encode(), properties, mandatory=True)
    until_ready(channel, dead_queue(queue), channel.queue_declare(dead_queue(queue), passive=True).method.message_count)
    channel.connection.close()


def letters(page: Any) -> Any:
    return page.locator("details.letter")


def confirm(page: Any, verb: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()


def test_a_task_that_is_given_up_appears_with_its_error_and_how_often(look: Sight, shop: Shop) -> None:
    page = look("/#/failures")
    with working(shop.work, threads=1):
        shop.fails.send(HOSTILE)
        dead = page.locator("#dead").locator("xpath=ancestor::section").get_by_role("link", name=shop.queue, exact=True)
        expect(dead).to_be_visible()
        trend = page.get_by_role("row").filter(has_text=f"fails-{shop.queue.removeprefix('shop.')}")
        expect(trend).to_contain_text(f"ValueError: no good: {HOSTILE}")
        expect(trend.get_by_role("cell").nth(4)).to_have_text("2")
        assert unscripted(page)
        dead.click()
    expect(letters(page)).to_have_count(1)
    letters(page).first.locator("> summary").click()
    expect(page.locator(".letter .trace")).to_contain_text("in _fail")
    expect(page.locator(".letter .payload")).to_contain_text(HOSTILE)
    assert unscripted(page)


def test_letters_are_grouped_by_task_and_error(look: Sight, place: Place, name: str) -> None:
    for number in range(3):
        park(place, name, f"{name}-{number}", error=f"no {number}")
    park(place, name, f"{name}-other", task="other", exception="OSError", error="gone")
    page = look(at("failures", "/", name))
    groups = page.get_by_role("region", name="Dead letters by task and error").locator("tbody tr")
    expect(groups).to_have_count(2)
    expect(groups.first).to_contain_text("3")
    expect(letters(page)).to_have_count(4)
    page.get_by_role("button", name="other", exact=True).click()
    expect(letters(page)).to_have_count(1)
    page.get_by_role("button", name="Show all").click()
    expect(letters(page)).to_have_count(4)


def test_all_that_failed_alike_are_sent_again_and_the_others_stay(look: Sight, place: Place, name: str) -> None:
    for number in range(3):
        park(place, name, f"{name}-{number}", error=f"no {number}")
    park(place, name, f"{name}-other", exception="SubValueError", error="no")
    page = look(at("failures", "/", name))
    page.get_by_role("button", name="Requeue all of t, ValueError").click()
    confirm(page, "Requeue")
    expect(page.get_by_text("3 letters sent again")).to_be_visible()
    until(lambda: (place.ready(name), place.ready(dead_queue(name))) == (3, 1))
    expect(letters(page)).to_have_count(1)


def test_one_letter_is_thrown_away_after_a_question(look: Sight, place: Place, name: str) -> None:
    park(place, name, f"{name}-a")
    park(place, name, f"{name}-b")
    page = look(at("failures", "/", name))
    letters(page).filter(has_text=f"{name}-a").locator("> summary").click()
    page.get_by_role("button", name="Discard…", exact=True).click()
    confirm(page, "Cancel")
    assert place.ready(dead_queue(name)) == 2
    page.get_by_role("button", name="Discard…", exact=True).click()
    confirm(page, "Discard")
    expect(page.get_by_text("1 letter thrown away")).to_be_visible()
    until(lambda: (place.ready(name), place.ready(dead_queue(name))) == (0, 1))


def test_a_letter_is_changed_and_then_done(look: Sight, shop: Shop) -> None:
    with working(shop.work, threads=1):
        shop.fails.send("wrong")
        channel = shop.place.channel()
        declare(channel, dead_queue(shop.queue))
        until_ready(channel, dead_queue(shop.queue), 1)
        shop.works.set()
        page = look(at("failures", "/", shop.queue))
        letters(page).first.locator("> summary").click()
        page.get_by_role("button", name="Edit and requeue…").click()
        body = page.get_by_label("Body")
        body.fill("{ no JSON")
        expect(page.get_by_role("dialog").get_by_role("button", name="Requeue", exact=True)).to_be_disabled()
        body.fill('{"args": ["right"], "kwargs": {}}')
        confirm(page, "Requeue")
        expect(page.get_by_text("1 letter sent again, changed")).to_be_visible()
        expect(page.get_by_text("No dead letters")).to_be_visible()
        page.goto(f"{shop.place.url}/#/tasks?q=right&queue={shop.queue}&state=succeeded")
        expect(page.locator("tbody tr")).to_have_count(1)


def test_all_letters_are_sent_again(look: Sight, place: Place, name: str) -> None:
    for number in range(3):
        park(place, name, f"{name}-{number}", exception=f"E{number}")
    page = look(at("failures", "/", name))
    page.get_by_role("button", name="Requeue all…").click()
    confirm(page, "Requeue")
    until(lambda: (place.ready(name), place.ready(dead_queue(name))) == (3, 0))


def test_a_queue_with_a_hostile_name_and_nothing_given_up(look: Sight, place: Place) -> None:
    page = look(at("failures", "/", HOSTILE))
    expect(page.get_by_role("alert")).to_contain_text("has no dead letters")
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    assert unscripted(page)


def test_who_may_not_read_a_queue_is_refused_its_letters(look: Sight, place: Place, name: str) -> None:
    park(place, name, f"{name}-a")
    place.api.ask("PUT", "/api/users/stranger", {"password": "look", "tags": "monitoring"})
    place.api.ask("PUT", "/api/permissions/%2F/stranger", {"configure": "", "write": "", "read": "^nothing$"})
    page = look(at("failures", "/", name), user="stranger", password="look")
    expect(page.get_by_role("alert")).to_contain_text("refused")
    assert place.ready(dead_queue(name)) == 1
