"""The list of queues and the page of one, in a browser: what is shown, kept up to date, and done to the broker."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dashboard.conftest import Sight
from dashboard.place import Place, at

HOSTILE = ["<script>alert(1)</script>", "a/b%2F?c#d&e", "Hase \"'` ünïcödé 🐇", "{{7*7}}${7*7}"]


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def stat(page: Any, label: str) -> Any:
    """The figure under that label."""
    return page.locator(".stat", has=page.locator("dt", has_text=re.compile(f"^{label}$"))).locator("dd")


def test_a_queue_appears_in_the_list_by_itself_and_its_figures_follow(look: Sight, place: Place) -> None:
    page = look("/#/queues?name=appearing")
    page.get_by_text("No queue fits").wait_for()
    place.fill("appearing", b"1", b"2")
    row = page.get_by_role("row", name=re.compile("appearing"))
    expect(row.get_by_role("cell").nth(1)).to_have_text("2")
    place.fill("appearing", b"3")
    expect(row.get_by_role("cell").nth(1)).to_have_text("3")


def test_the_list_is_filtered_sorted_and_its_address_can_be_shared(look: Sight, place: Place) -> None:
    for number, name in enumerate(("sorting.b", "sorting.a", "sorting.c"), 1):
        place.fill(name, *[b"x"] * number)
    page = look("/#/queues")
    page.get_by_label("Filter by name").fill("SORTING.")
    links = page.locator("tbody a.row")
    expect(links).to_have_text(["sorting.a", "sorting.b", "sorting.c"])
    page.get_by_role("button", name="Ready").click()
    expect(links).to_have_text(["sorting.c", "sorting.a", "sorting.b"])
    page.get_by_role("button", name="Ready").click()
    expect(links).to_have_text(["sorting.b", "sorting.a", "sorting.c"])
    expect(page.get_by_role("columnheader", name="Ready")).to_have_attribute("aria-sort", "ascending")
    again = look(page.url.removeprefix(place.url))
    expect(again.locator("tbody a.row")).to_have_text(["sorting.b", "sorting.a", "sorting.c"])


def test_what_the_work_queue_makes_for_itself_is_shown_on_demand(look: Sight, place: Place) -> None:
    place.fill("asked", b"1")
    place.fill("asked.dead", b"1")
    place.fill("leveret.something", b"1")
    page = look("/#/queues")
    expect(page.get_by_role("link", name="asked", exact=True)).to_be_visible()
    assert page.get_by_role("link", name="asked.dead").count() == 0
    page.get_by_label("Leveret's own").check()
    expect(page.get_by_role("link", name="asked.dead")).to_be_visible()
    expect(page.get_by_role("link", name="leveret.something")).to_be_visible()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_only_ever_a_text(look: Sight, place: Place, name: str) -> None:
    place.fill(name, json.dumps({"args": ["<img src=x onerror=alert(1)>"]}).encode(), type="<b>task</b>")
    page = look("/#/queues")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(stat(page, "Ready")).to_have_text("1")
    page.get_by_role("button", name="Look at the next").click()
    expect(page.locator(".message-head").get_by_text("<b>task</b>")).to_be_visible()
    expect(page.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
    assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0
    page.get_by_role("button", name="Purge…").click()
    page.get_by_role("dialog").get_by_role("textbox").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Purge", exact=True).click()
    expect(stat(page, "Ready")).to_have_text("0")
    assert place.ready(name) == 0


def test_looking_at_messages_leaves_them_where_they_are(look: Sight, place: Place) -> None:
    place.fill("looked", b'{"args": [1, {"deep": [true, null]}]}', b"plain text", b"\xff\xfe", b"")
    page = look(at("queues", "/", "looked"))
    page.get_by_role("button", name="Look at the next").click()
    messages = page.locator(".message")
    expect(messages).to_have_count(4)
    expect(messages.nth(0).get_by_text("deep")).to_be_visible()
    expect(messages.nth(1)).to_contain_text("plain text")
    expect(messages.nth(2)).to_contain_text("base64")
    expect(messages.nth(3)).to_contain_text("The message is empty")
    assert place.ready("looked") == 4


def test_a_published_message_is_in_the_queue(look: Sight, place: Place) -> None:
    place.fill("published")
    page = look(at("queues", "/", "published"))
    page.get_by_role("button", name="Publish…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Payload").fill('{"args": ["hare.png"]}')
    dialog.get_by_label("Task").fill("resize")
    dialog.get_by_label("Headers").fill('{"tenant": "a"}')
    dialog.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("1 message is in published")).to_be_visible()
    method, properties, body = place.channel().basic_get("published", auto_ack=True)
    assert method is not None and body == b'{"args": ["hare.png"]}'
    assert properties.type == "resize" and properties.headers == {"tenant": "a"} and properties.delivery_mode == 2
    assert properties.message_id and properties.content_type == "application/json"


def test_moved_messages_are_in_the_other_queue_as_they_were(look: Sight, place: Place) -> None:
    place.fill("move.from", *[str(number).encode() for number in range(250)], headers={"kept": 1}, user_id="guest")
    place.fill("move.to")
    page = look(at("queues", "/", "move.from"))
    expect(stat(page, "Ready")).to_have_text("250")
    page.get_by_role("button", name="Move…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To the queue").fill("nowhere")
    dialog.get_by_role("button", name="Move").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("To the queue").fill("move.to")
    dialog.get_by_label("How many").fill("240")
    dialog.get_by_role("button", name="Move").click()
    expect(page.get_by_text("240 messages moved to move.to")).to_be_visible()
    assert place.ready("move.from") == 10 and place.ready("move.to") == 240
    channel = place.channel()
    _, properties, body = channel.basic_get("move.to", auto_ack=True)
    assert body == b"0" and properties.headers == {"kept": 1}


def test_a_queue_is_purged_only_by_whoever_types_its_name(look: Sight, place: Place) -> None:
    place.fill("purged", b"1", b"2", b"3")
    page = look(at("queues", "/", "purged"))
    page.get_by_role("button", name="Purge…").click()
    dialog = page.get_by_role("dialog")
    button = dialog.get_by_role("button", name="Purge", exact=True)
    expect(button).to_be_disabled()
    dialog.get_by_role("textbox").fill("purge")
    expect(button).to_be_disabled()
    dialog.get_by_role("textbox").fill("purged")
    button.click()
    expect(page.get_by_text("purged was purged")).to_be_visible()
    assert place.ready("purged") == 0


def test_consumers_are_shown_with_what_they_hold_and_who_is_full(look: Sight, place: Place) -> None:
    place.fill("consumed", *[b"x"] * 5)
    channel = place.channel("the forgetful one")
    channel.basic_qos(prefetch_count=3)
    held = []
    channel.basic_consume("consumed", lambda *delivery: held.append(delivery))
    while len(held) < 3:
        channel.connection.process_data_events(time_limit=1)
    page = look(at("queues", "/", "consumed"))
    row = page.get_by_role("row", name=re.compile("the forgetful one"))
    expect(row).to_contain_text("full")
    expect(row).to_contain_text("127.0.0.1")
    expect(stat(page, "Unacknowledged")).to_have_text("3")
    expect(stat(page, "Ready")).to_have_text("2")
    channel.connection.close()
    expect(page.get_by_text("Nobody takes from this queue: 5 messages wait")).to_be_visible()


def test_the_figures_of_a_queue_follow_and_so_does_its_chart(look: Sight, place: Place) -> None:
    place.fill("followed", b"1")
    page = look(at("queues", "/", "followed"))
    expect(stat(page, "Ready")).to_have_text("1")
    place.fill("followed", *[b"2"] * 6)
    expect(stat(page, "Ready")).to_have_text("7")
    expect(page.get_by_role("img", name=re.compile("Messages in this queue from .*Ready now 7"))).to_be_visible()


def test_a_queue_that_is_not_there_says_so(look: Sight, place: Place) -> None:
    page = look(at("queues", "/", "never.declared"))
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("never.declared")


@pytest.mark.timeout(400)
def test_five_thousand_queues_are_paged_filtered_and_sorted(look: Sight, place: Place) -> None:
    channel = place.channel()
    for number in range(5_000):
        channel.queue_declare(f"many.{number:04}", exclusive=True)  # they go with the connection
    page = look("/#/queues?name=many.")
    expect(page.get_by_text("1–50 of 5,000 queues")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("51–100 of 5,000 queues")).to_be_visible()
    expect(page.locator("tbody a.row").first).to_have_text("many.0050")
    page.get_by_role("button", name="Queue").click()
    expect(page.locator("tbody a.row").first).to_have_text("many.4999")
    page.get_by_label("Filter by name").fill("many.123")
    expect(page.locator("tbody a.row")).to_have_count(10)
    channel.connection.close()
