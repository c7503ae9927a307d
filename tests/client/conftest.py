"""A broker without a socket, plugged in where the client opens one."""

from __future__ import annotations

import pytest

from client.fake import FakeBroker


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    broker = FakeBroker()
    broker.plug(monkeypatch)
    return broker
