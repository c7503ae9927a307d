"""Makes the pictures in docs/screenshots: every page, light and dark, of a shop at work (shop.py). `make screenshots`.

Not a test: it waits until there is something to see.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from brokers import Leveret
from dashboard.place import CHROMIUM, WAIT_MS, Place

HERE: Final = Path(__file__).parent
PICTURES: Final = HERE.parent.parent / "docs" / "screenshots"
SEEN_S: Final = 100
"""So long the shop works before it is looked at: a forgotten acknowledgement takes a minute to be one."""

QUEUE: Final = "/#/queues/%2F/pictures"
LETTERS: Final = "/#/failures/%2F/invoices"
WIDTH: Final = 1280
HEIGHT: Final = 860


def main() -> None:
    # Terminated, it ends what it started as it does when it is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    PICTURES.mkdir(parents=True, exist_ok=True)
    place = Place(Leveret(management=True))
    place.start()
    programs: list[subprocess.Popen[bytes]] = []
    try:
        seed(place)
        programs += shop(place)
        time.sleep(SEEN_S)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            for theme in ("light", "dark"):
                show_all(chromium, place, theme)
    finally:
        for program in programs:
            program.kill()
            program.wait()
        place.stop()


def shop(place: Place) -> list[subprocess.Popen[bytes]]:
    at = place.broker.directory  # tracebacks are to show no place of ours
    shutil.copy(HERE / "shop.py", at)
    environment = {**os.environ, "LEVERET_URL": place.broker.url, "PYTHONPATH": os.pathsep.join(sys.path)}
    worker = [sys.executable, "-m", "leveret", "worker", "shop.py", "--threads", "4"]
    commands = [worker, worker, [sys.executable, "shop.py", "send"]]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return [subprocess.Popen(command, cwd=at, env=environment, **quiet) for command in commands]


def seed(place: Place) -> None:
    """A queue that nobody reads, and a consumer that forgot to acknowledge."""
    place.fill("newsletter", *[b'{"args": ["subscriber@example.com"]}'] * 180, type="send_newsletter")
    place.fill("exports", *[b'{"args": ["orders.csv"]}'] * 45, type="export")
    channel = place.channel("export script")
    channel.basic_qos(prefetch_count=20)
    channel.basic_consume("exports", lambda *_: None)
    threading.Thread(target=channel.start_consuming, daemon=True).start()


def show_all(chromium: Any, place: Place, theme: str) -> None:
    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(place.url)
    page.get_by_role("button", name="Sign in").wait_for()
    save(page, "sign-in", theme)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    for path in page.locator("nav.places a").evaluate_all("links => links.map(link => link.getAttribute('href'))"):
        shown(page, place.url + "/" + path)
        save(page, path.removeprefix("#/") or "overview", theme)
    shown(page, place.url + QUEUE)
    page.get_by_label("How many").select_option("1")
    page.get_by_role("button", name="Look at the next").click()
    page.locator(".message").first.wait_for()
    save(page, "queue", theme, whole=True)
    shown(page, place.url + "/#/tasks?state=parked")
    page.locator("tbody a.row").first.click()
    page.locator(".why-reason").wait_for()
    save(page, "task", theme, whole=True)
    shown(page, place.url + LETTERS)
    page.locator("details.letter > summary").first.click()
    save(page, "dead-letters", theme)
    page.set_viewport_size({"width": 375, "height": 780})
    shown(page, place.url + "/#/")
    save(page, "phone", theme)
    context.close()


def shown(page: Any, url: str) -> None:
    """All of it is there, and the charts have had some figures more."""
    page.goto(url)
    page.get_by_role("heading", level=1).wait_for()
    page.locator(".loading").first.wait_for(state="detached")
    page.wait_for_timeout(4_000)


def save(page: Any, name: str, theme: str, whole: bool = False) -> None:
    file = PICTURES / f"{name}-{theme}.png"
    page.screenshot(path=str(file), full_page=whole)
    print(f"{file.relative_to(PICTURES.parent.parent)} {file.stat().st_size // 1024} KiB", flush=True)


if __name__ == "__main__":
    main()
