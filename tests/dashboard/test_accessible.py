"""axe-core finds nothing on any page, light or dark; the browser's own judgement of contrast, names and structure."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.conftest import Sight
from dashboard.place import Place
from dashboard.test_queues import expect

AXE = (Path(__file__).parent / "vendor" / "axe.js").read_text()
PAGES = ["/", "/#/queues", "/#/queues/%2F/accessible", "/#/unacked", "/#/no/such/page"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_violations(look: Sight, place: Place, path: str, theme: str) -> None:
    place.fill("accessible", b'{"args": [1]}')
    page = look(path, theme=theme)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_dialogs_and_the_form_have_none_either(look: Sight, place: Place, theme: str) -> None:
    place.fill("accessible", b'{"args": [1]}')
    page = look("/#/queues/%2F/accessible", theme=theme)
    page.get_by_role("button", name="Look at the next").click()
    expect(page.locator(".message").first).to_be_visible()
    assert violations(page) == []
    for verb in ("Publish…", "Move…", "Purge…"):
        page.get_by_role("button", name=verb).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    form = look(user=None, theme=theme)
    expect(form.get_by_label("Password")).to_be_visible()
    assert violations(form) == []


def violations(page: object) -> list[str]:
    page.evaluate(AXE)  # type: ignore[attr-defined]
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")  # type: ignore[attr-defined]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
