"""A broker with its dashboard, for all tests here, and pages of a real browser on it. `place` is in place.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brokers import Broker
from dashboard.place import CHROMIUM, WAIT_MS, Place, in_ci, missing_browser

Sight = Callable[..., Any]


@pytest.fixture(scope="package")
def place(broker_kind: type[Broker]) -> Iterator[Place]:
    """Shared: use queues of your own."""
    there = Place(broker_kind(management=True))
    try:
        there.start()
        yield there
    finally:
        there.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For one module: while it is there this thread has a running loop, and others could not use asyncio.run."""
    missing = missing_browser()
    if missing and in_ci():
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser: Any, place: Place) -> Iterator[Sight]:
    """look(path, user=…, width=…, theme=…, first=…): a signed-in page. What goes wrong in the browser fails the test; the script
    `first` runs before the page's own.
    """
    contexts = []
    troubles: list[str] = []

    def look(
        path: str = "/",
        user: str | None = "guest",
        password: str = "guest",
        width: int = 1280,
        theme: str = "light",
        first: str = "",
    ) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        if user is not None:
            signed = context.request.post(
                f"{place.url}/ui/login", data={"user": user, "password": password}, headers={"Origin": place.url}
            )
            assert signed.ok, signed.text()
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
        if first:
            page.add_init_script(first)
        page.goto(place.url + path)
        return page

    yield look
    for context in contexts:
        context.close()
    assert not troubles
