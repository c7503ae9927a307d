"""The overview, unacknowledged messages, and the frame around all pages, in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.conftest import Sight
from dashboard.place import Place, at
from dashboard.test_queues import expect, stat

PROGRAM = """
import time
from pathlib import Path
from leveret.tasks import WorkQueue

work = WorkQueue()


@work.task(queue="watched")
def wait() -> None:
    while not Path("go").exists():
        time.sleep(0.05)
"""


@pytest.fixture
def worker(place: Place, tmp_path: Path) -> Iterator[Any]:
    """A real worker of two slots, whose tasks end when the test has ended."""
    (tmp_path / "waiting.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "leveret", "worker", "waiting.py", "--threads", "2", "--url", place.broker.url]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    send = "import waiting; [waiting.wait.send() for _ in range(5)]"
    environment = {"LEVERET_URL": place.broker.url, "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, check=True, env=environment)
    yield process
    (tmp_path / "go").touch()
    process.terminate()
    process.wait(60)
    place.api.ask("DELETE", "/api/queues/%2F/watched")


def test_the_overview_shows_busy_slots_and_what_waits(look: Sight, place: Place, worker: Any) -> None:
    page = look()
    row = page.get_by_role("row", name=re.compile("watched"))
    expect(row).to_contain_text("2/2")
    expect(row.get_by_role("cell").nth(1)).to_have_text("3")
    expect(row.get_by_role("cell").nth(2)).to_have_text("2")
    expect(stat(page, "Busy slots")).to_have_text(re.compile(r"[1-9]\d*/\d+"))


def test_what_nobody_takes_needs_attention_until_somebody_does(look: Sight, place: Place) -> None:
    place.fill("neglected", b"1", b"2")
    page = look()
    sign = page.get_by_role("link", name=re.compile("neglected.*2 messages wait and nobody takes them"))
    sign.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("neglected")
    page.go_back()
    expect(sign).to_be_visible()
    channel = place.channel()
    channel.basic_consume("neglected", lambda *_: None, auto_ack=True)
    channel.connection.process_data_events(time_limit=0.2)
    expect(sign).to_have_count(0)
    channel.connection.close()


def test_dead_letters_need_attention(look: Sight, place: Place) -> None:
    place.fill("failing")
    place.fill("failing.dead", b"1", b"2")
    page = look()
    expect(page.get_by_role("link", name=re.compile("failing.*2 tasks failed for good"))).to_have_attribute(
        "href", "#/failures/%2F/failing"
    )
    place.api.ask("DELETE", "/api/queues/%2F/failing.dead")


def test_the_charts_say_in_words_what_they_show(look: Sight, place: Place) -> None:
    place.fill("charted", b"1")
    page = look()
    words = re.compile(r"Messages in all queues from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d: Ready now \d")
    expect(page.get_by_role("img", name=words)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Messages per second from"))).to_be_visible()


def test_who_holds_messages_is_shown_and_its_connection_is_closed(look: Sight, place: Place) -> None:
    place.fill("held", *[b"x"] * 4)
    channel = place.channel("the holder <b>")
    channel.basic_qos(prefetch_count=4)
    taken: list[Any] = []
    channel.basic_consume("held", lambda *delivery: taken.append(delivery), consumer_tag="holding")
    while len(taken) < 4:
        channel.connection.process_data_events(time_limit=1)
    page = look("/#/unacked")
    page.get_by_label("Filter by queue").fill("the holder")
    holder = page.get_by_role("region", name=re.compile("the holder <b>, held"))
    expect(holder).to_contain_text("holds 4 of 4 from held")
    expect(holder).to_contain_text("holding")
    expect(holder).to_contain_text("127.0.0.1")
    if place.broker.kind == "leveret":
        expect(holder).to_contain_text("ago")
        holder.get_by_role("button", name="Show 4 messages").click()
        expect(holder.locator("tbody tr")).to_have_count(4)
    holder.get_by_role("button", name="Close connection…").click()
    page.get_by_role("dialog").get_by_role("button", name="Close connection").click()
    expect(holder).to_have_count(0)
    while channel.connection.is_open:
        try:
            channel.connection.process_data_events(time_limit=1)
        except Exception:
            break
    assert place.ready("held") == 4


def test_pausing_keeps_workers_away_until_it_is_resumed(look: Sight, place: Place) -> None:
    place.fill("pausable", b"1")
    page = look(at("queues", "/", "pausable"))
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("No worker takes from this queue while it is paused")).to_be_visible()
    listed = [row["name"] for row in place.api.ask("GET", "/api/queues")]
    assert "leveret.paused.pausable" in listed
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert "leveret.paused.pausable" not in [row["name"] for row in place.api.ask("GET", "/api/queues")]


# ---- the frame


def test_an_address_that_leads_nowhere_says_so(look: Sight) -> None:
    page = look("/#/no/such/page")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    page.get_by_role("link", name="To the overview").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_the_keyboard_alone_leads_to_a_queue_and_purges_it(look: Sight, place: Place) -> None:
    place.fill("by.keyboard", b"1")
    page = look()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("by.keyboard")
    expect(page.locator("tbody a.row")).to_have_text(["by.keyboard"])
    for key in ("Escape", "j", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", level=1)).to_have_text("by.keyboard")
    purge = page.get_by_role("button", name="Purge…")
    for _ in range(40):
        if purge.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type("by.keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_text("by.keyboard was purged")).to_be_visible()
    assert place.ready("by.keyboard") == 0


PRESS_AT_ONCE = """
new MutationObserver((_, watching) => {
  if (!document.querySelector("main h1")) return;
  watching.disconnect();
  for (const key of ["g", "q"]) dispatchEvent(new KeyboardEvent("keydown", { key }));
}).observe(document, { childList: true, subtree: true });
"""


def test_a_key_pressed_as_soon_as_the_page_is_there_counts(look: Sight) -> None:
    page = look("/#/schedules", first=PRESS_AT_ONCE)
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()


def test_the_question_mark_lists_the_keys_and_escape_ends_it(look: Sight) -> None:
    page = look()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Next and previous row")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_colours_are_the_systems_until_they_are_switched_and_stay_switched(look: Sight) -> None:
    page = look(theme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("path", ["/", "/#/queues", "/#/queues/%2F/narrow", "/#/unacked"])
def test_a_phone_shows_it_all_without_going_sideways(look: Sight, place: Place, path: str) -> None:
    place.fill("narrow", b"1")
    page = look(path, width=375)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_a_lost_connection_is_told_and_made_again(look: Sight, place: Place) -> None:
    page = look("/#/queues")
    expect(page.locator("table, .empty").first).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("The connection to the dashboard is lost")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("The connection to the dashboard is lost")).to_have_count(0)
