"""Tasks in a browser: found, followed through their lives, why they have not run yet, and cancelled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from dashboard.conftest import Sight
from dashboard.place import Place, at
from dashboard.program import HOSTILE, Shop, unscripted, until
from dashboard.test_queues import expect
from dashboard.test_signing_in import ask, signed_in
from leveret.tasks.cancelling import MARK
from worker.support import working


@pytest.fixture
def shop(place: Place, name: str) -> Iterator[Shop]:
    shop = Shop(place, name)
    try:
        yield shop
    finally:
        shop.close()


def rows(page: Any) -> Any:
    return page.locator("tbody tr")


def heard(page: Any, shop: Shop) -> None:
    """Workers say what they do once they know that somebody listens: here that is as soon as their lane is there."""
    page.goto(shop.place.url + "/#/workers")
    page.get_by_label("Filter by name, host or queue").fill(shop.queue)
    expect(page.locator("li.lane")).to_have_count(1)


def test_tasks_appear_by_themselves_and_are_found_by_id_name_argument_and_state(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=2):
        heard(page, shop)
        page.goto(f"{shop.place.url}/#/tasks?queue={shop.queue}")
        done = shop.quick.send("needle in a haystack")
        expect(rows(page)).to_have_count(1)
        expect(rows(page).first).to_contain_text("done")
        shop.fails.send("other")
        expect(rows(page)).to_have_count(2)
        search = page.get_by_label("Id, name or argument")
        for text in (done.id, done.task, "needle in"):
            search.fill(text)
            expect(rows(page)).to_have_count(1)
            expect(rows(page).first).to_contain_text(done.task)
        search.fill("")
        expect(rows(page)).to_have_count(2)
        page.get_by_label("State").select_option("failed")
        expect(rows(page)).to_have_count(1)
        expect(rows(page).first).to_contain_text(f"fails-{shop.queue.removeprefix('shop.')}")
        shared = look(page.url.removeprefix(shop.place.url))
        expect(rows(shared)).to_have_count(1)


def test_a_task_s_life_is_told_from_its_sending_to_its_end_and_follows_it(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=2):
        heard(page, shop)
        sent = shop.slow.send("x")
        shop.wait_until_begun()
        page.goto(shop.place.url + at("tasks", sent.id))
        expect(page.get_by_role("heading", level=1)).to_have_text(sent.task)
        expect(page.locator(".why-reason")).to_contain_text("It runs in process")
        expect(page.locator(".life-what")).to_have_text(["Sent", "Begun"])
        shop.goes_on.set()
        expect(page.locator(".life-what")).to_have_text(["Sent", "Begun", "Done"])
        expect(page.locator(".why-reason")).to_have_text("It is done.")
        expect(page.locator(".life li").first).to_contain_text(f"to {shop.queue}")
        expect(page.locator(".life li").last).to_contain_text("ran for")
        expect(page.locator(".life li").last).to_contain_text(f"returned {HOSTILE!r}")
        assert unscripted(page)


def test_of_a_task_that_is_done_it_is_not_asked_again_and_again(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=2):
        heard(page, shop)
        sent = shop.quick.send("x")
        page.clock.install()
        page.goto(shop.place.url + at("tasks", sent.id))
        expect(page.locator(".life-what")).to_have_text(["Sent", "Begun", "Done"])
        expect(page.locator(".why-reason")).to_have_text("It is done.")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/why?" in request.url else None)
        page.clock.run_for(60_000)
        expect(page.locator(".why-reason")).to_have_text("It is done.")
        assert asked == []


def test_attempts_that_failed_are_told_with_their_errors_and_tracebacks(look: Sight, shop: Shop) -> None:
    page = look("/#/workers")
    with working(shop.work, threads=1):
        heard(page, shop)
        sent = shop.fails.send(HOSTILE)
        page.goto(shop.place.url + at("tasks", sent.id))
        steps = [
            "Sent",
            "Begun",
            "Attempt failed",
            "To be tried again",
            "Begun, attempt 2",
            "Attempt failed",
            "Given up",
        ]
        expect(page.locator(".life-what")).to_have_text(steps)
        expect(page.locator(".life li").last).to_contain_text(f"ValueError: no good: {HOSTILE}")
        if shop.place.broker.kind != "leveret":
            page.get_by_role("button", name="Show its traceback").click()
        expect(page.locator(".why .trace")).to_contain_text(f"ValueError: no good: {HOSTILE}")
        traces = page.locator(".life .trace")
        expect(traces).to_have_count(2)
        for attempt in range(2):
            expect(traces.nth(attempt)).not_to_be_visible()
            page.locator(".life summary").nth(attempt).click()
            expect(traces.nth(attempt)).to_be_visible()
            expect(traces.nth(attempt)).to_contain_text("Traceback (most recent call last)")
            expect(traces.nth(attempt)).to_contain_text(f"ValueError: no good: {HOSTILE}")
        assert unscripted(page)


def test_why_it_has_not_run_yet_is_told_of_what_no_worker_has_seen(look: Sight, shop: Shop) -> None:
    sent = [shop.quick.send("x") for _ in range(2)][-1]
    page = look(f"/#/tasks?q={sent.id}")
    page.get_by_role("link", name="look for it in the queues").click()
    if shop.place.broker.kind != "leveret":  # looking there marks messages: only when somebody asks
        expect(page.locator(".why-reason")).to_contain_text("has to be looked for")
        page.get_by_role("button", name="Look in the queues").click()
    expect(page.locator(".why-reason")).to_contain_text("behind 1 other, and nobody takes from that queue")
    expect(page.locator(".why-advice")).to_contain_text("Start a worker")
    if shop.place.broker.kind == "leveret":
        expect(page.locator(".facts")).to_contain_text("On the broker's disk")
        with working(shop.work, threads=1):  # and it follows by itself
            expect(page.locator(".why-reason")).to_have_text("It is done.")


def test_what_is_delayed_tells_until_when_and_is_cancelled(look: Sight, shop: Shop) -> None:
    sent = shop.quick.options(delay=7200).send("x")
    page = look(at("tasks", sent.id))
    if shop.place.broker.kind != "leveret":
        page.get_by_role("button", name="Look in the queues").click()
    expect(page.locator(".why-reason")).to_have_text(
        re.compile(r"It was sent with a delay, and is due in (1 h 59|2 h 0) min\.")
    )
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the task").click()
    expect(page.get_by_text("It is cancelled", exact=True)).to_be_visible()
    until(lambda: shop.place.ready(MARK + sent.id) == 1)


def test_a_page_that_is_left_and_come_back_to_at_once_is_told_all_again(look: Sight, shop: Shop) -> None:
    """What it shows does not change: who is told only of changes would wait for ever."""
    sent = shop.quick.options(delay=7200).send("x")
    page = look(at("tasks", sent.id))
    for pause_ms in (0, 5, 10, 20, 40, 80):
        expect(page.get_by_role("heading", name="What happened to it")).to_be_visible()
        page.evaluate(
            """async (pause_ms) => {
                const here = location.hash;
                location.hash = "#/nowhere";
                await new Promise((then) => setTimeout(then, pause_ms));
                location.hash = here;
            }""",
            pause_ms,
        )
    expect(page.get_by_role("heading", name="What happened to it")).to_be_visible()


def test_a_task_that_runs_is_told_that_it_was_cancelled(look: Sight, shop: Shop) -> None:
    import threading

    from leveret.tasks import current_task

    cancelled = threading.Event()

    @shop.work.task(name=f"asks-{shop.queue}")
    def asks() -> None:
        shop.begun.release()
        while not current_task().cancelled and not shop.goes_on.wait(0.01):
            pass
        if current_task().cancelled:
            cancelled.set()

    with working(shop.work, threads=1):
        sent = asks.send()
        shop.wait_until_begun()
        page = look(at("tasks", sent.id))
        page.get_by_role("button", name="Cancel…").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel the task").click()
        assert cancelled.wait(60)


def test_an_id_is_only_ever_a_text(look: Sight, place: Place) -> None:
    page = look(at("tasks", HOSTILE))
    expect(page.locator(".head .ident")).to_have_text(HOSTILE)
    assert unscripted(page)


def test_who_may_only_look_sees_a_task_and_cannot_cancel_it(look: Sight, place: Place, shop: Shop) -> None:
    place.api.ask("PUT", "/api/users/onlooker", {"password": "look", "tags": "monitoring"})
    place.api.ask("PUT", "/api/permissions/%2F/onlooker", {"configure": "", "write": "", "read": ".*"})
    sent = shop.quick.options(delay=7200).send("x")
    page = look(at("tasks", sent.id), user="onlooker", password="look")
    expect(page.locator(".head .ident")).to_have_text(sent.id)
    if place.broker.kind == "leveret":
        expect(page.locator(".why-reason")).to_contain_text("is due in")
        expect(page.get_by_role("button", name="Cancel…")).to_have_count(0)


def test_what_a_task_was_given_and_returned_is_told_only_to_who_may_read_its_queue(
    look: Sight, shop: Shop, place: Place
) -> None:
    """They see that it ran, when and for how long."""
    place.api.ask("PUT", "/api/users/outsider", {"password": "look", "tags": "monitoring"})
    place.api.ask("PUT", "/api/permissions/%2F/outsider", {"configure": "", "write": "", "read": "^other$"})
    place.api.ask("PUT", "/api/users/reader", {"password": "look", "tags": "monitoring"})
    place.api.ask("PUT", "/api/permissions/%2F/reader", {"configure": "", "write": "", "read": f"^{shop.queue}$"})
    page = look("/#/workers")
    with working(shop.work, threads=2):
        heard(page, shop)
        shop.goes_on.set()
        sent = shop.slow.send("a secret")
        page.goto(shop.place.url + at("tasks", sent.id))
        expect(page.locator(".life-what")).to_have_text(["Sent", "Begun", "Done"])
    for user, told in (("reader", True), ("outsider", False)):
        session = signed_in(place, user, "look")

        def get(path: str, session: dict[str, str] = session) -> dict[str, Any]:
            status, answer, _ = ask(place, "GET", f"/ui/{path}", None, session)
            assert status == 200, answer
            return dict(answer)

        (row,) = get(f"tasks?queue={shop.queue}")["items"]
        assert row["state"] == "succeeded" and row["took_s"] is not None
        assert ("secret" in row["argument"]) is told
        assert len(get("tasks?argument=secret&queue=" + shop.queue)["items"]) == told
        life = get(f"tasks/{sent.id}")
        assert ("secret" in str(life)) is told
        assert [entry["what"] for entry in life["life"]] == ["started", "succeeded"]
        assert bool(life["life"][1]["detail"]) is told and life["life"][0]["detail"]
        assert get("tasks?vhost=nowhere")["items"] == []
