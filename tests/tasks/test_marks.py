"""Who asks for marks is refused by their names, as permissions are given."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.errors import ChannelError
from leveret.tasks import marks
from leveret.tasks.marks import ACCESS_REFUSED, Asking


def test_one_mark_that_may_not_be_asked_for_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(_: object, name: str) -> bool:
        if name == "forbidden":
            raise ChannelError(ACCESS_REFUSED, "ACCESS_REFUSED")
        return True

    class Channels:
        def __init__(self, _: object) -> None: ...

        async def get(self) -> None: ...

    monkeypatch.setattr(marks, "stands", answer)
    monkeypatch.setattr(marks, "StandingChannel", Channels)
    asking: Any = Asking(None)  # type: ignore[arg-type]

    async def ask() -> list[bool]:
        return [await asking.stands(name) for name in ("forbidden", "paused", "forbidden")]

    assert asyncio.run(ask()) == [False, True, False]
    assert caplog.text.count("may not ask") == 1
