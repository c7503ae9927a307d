"""The pages about work for everybody: no violations that axe-core knows, by keyboard, on a phone, in both colours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dashboard.conftest import Sight
from dashboard.place import Place, at
from dashboard.program import Shop
from dashboard.test_accessible import violations
from dashboard.test_failures import park
from dashboard.test_queues import expect
from worker.support import working


@pytest.fixture
def shop(place: Place, name: str) -> Iterator[Shop]:
    shop = Shop(place, name)
    try:
        yield shop
    finally:
        shop.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_no_page_has_a_violation_that_axe_core_knows(look: Sight, shop: Shop, width: int, theme: str) -> None:
    park(shop.place, shop.queue, f"{shop.queue}-a")
    with working(shop.work, threads=2):
        sent = shop.slow.send("x")
        shop.wait_until_begun()
        page = look("/#/workers", width=width, theme=theme)
        expect(page.locator("li.lane").first).to_be_visible()
        assert violations(page) == []
        page.goto(f"{shop.place.url}/#/tasks?queue={shop.queue}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")
        assert violations(page) == []
        page.goto(shop.place.url + at("tasks", sent.id))
        expect(page.locator(".why-reason")).to_contain_text("It runs")
        assert violations(page) == []
        page.goto(shop.place.url + "/#/failures")
        expect(page.get_by_role("link", name=shop.queue, exact=True).first).to_be_visible()
        assert violations(page) == []
        page.goto(shop.place.url + at("failures", "/", shop.queue))
        page.locator("details.letter > summary").first.click()
        assert violations(page) == []
        page.get_by_role("button", name="Edit and requeue…").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert violations(page) == []
        page.goto(shop.place.url + "/#/schedules")
        expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
        assert violations(page) == []
        shop.goes_on.set()


@pytest.mark.parametrize("path", ["/#/workers", "/#/tasks", "/#/failures", "/#/schedules"])
def test_nothing_is_wider_than_a_phone(look: Sight, shop: Shop, path: str) -> None:
    park(shop.place, shop.queue, f"{shop.queue}-a", error="x" * 500)
    page = look(path, width=375)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_a_worker_is_quieted_by_keyboard_alone(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=1):
        page.get_by_label("Filter by name, host or queue").fill(shop.queue)
        lane = page.locator("li.lane").first
        expect(lane).to_be_visible()
        expect(page.locator("li.lane")).to_have_count(1)
        page.locator(".lanes-scroll").focus()
        for _ in range(10):
            page.keyboard.press("Tab")
            if "Quiet" in page.evaluate("document.activeElement.innerText"):
                break
        page.keyboard.press("Enter")
        expect(lane.get_by_text("quiet", exact=True)).to_be_visible()
