"""A broker at the other end of HTTP that does not always answer as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from leveret.dashboard import remote_source
from leveret.dashboard.remote_source import RemoteAccess
from leveret.errors import Declined, ManagementError
from leveret.management.remote import Remote

ROWS = [{"name": "q"}]


class Moody:
    """Answers in this order; an exception is raised."""

    user = "guest"

    def __init__(self, *answers: Any) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self.asked: list[tuple[str, str]] = []

    def ask(self, method: str, path: str, body: object = None) -> Any:
        self.asked.append((method, path))
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(status: int) -> Declined:
    return Declined("the broker", status, "no")


def access(moody: Moody) -> RemoteAccess:
    return RemoteAccess(cast(Remote, moody), ["administrator"], "amqp://")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_source, "AGAIN_S", 0.0)


@pytest.mark.parametrize("error", [refused(500), refused(503), ManagementError("lost")])
def test_what_only_looks_is_asked_once_more(error: Exception) -> None:
    moody = Moody(error, ROWS)
    assert asyncio.run(access(moody).get("/api/queues", {"page": "1"})) == ROWS
    assert moody.asked == [("GET", "/api/queues?page=1")] * 2


def test_an_error_that_comes_twice_is_told() -> None:
    moody = Moody(refused(500), refused(503))
    with pytest.raises(Declined) as told:
        asyncio.run(access(moody).get("/api/queues"))
    assert told.value.status == 503


@pytest.mark.parametrize("status", [401, 404, 405])
def test_what_the_broker_refuses_is_not_asked_again(status: int) -> None:
    moody = Moody(refused(status), ROWS)
    with pytest.raises(Declined):
        asyncio.run(access(moody).get("/api/queues"))
    assert len(moody.asked) == 1


def test_what_changes_something_is_never_done_twice() -> None:
    moody = Moody(refused(500), None)
    with pytest.raises(Declined):
        asyncio.run(access(moody).ask("DELETE", "/api/queues/%2F/q"))
    assert len(moody.asked) == 1
