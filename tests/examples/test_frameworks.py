"""The programs in docs/frameworks.md run as they stand there."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from examples.snippets import run, runs
from leveret.tasks import Retries, WorkQueue
from leveret.testing.harness import harness


@dataclass
class Sale:
    item: str
    cents: int


@runs("frameworks.md", 0)
def test_a_route_of_fastapi_sends_a_task(blocks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEVERET_TEST_URL", raising=False)
    names: dict[str, Any] = {"app": FastAPI(), "WorkQueue": WorkQueue, "Sale": Sale, "UUID": UUID, "uuid4": uuid4}
    exec(blocks[0], names)
    with harness(names["work"]) as work_queue, TestClient(names["app"]) as client:
        answer = client.post("/reports", json=[{"item": "hare", "cents": 5}])
        assert answer.status_code == 202
        work_queue.assert_enqueued("write_report", UUID(answer.json()["report"]), [Sale("hare", 5)])


@runs("frameworks.md", 1)
def test_a_worker_of_a_django_project(blocks: list[str], tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("SECRET_KEY = 'of a test'\n")
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "tasks.py").write_text("from leveret.tasks import WorkQueue\nwork = WorkQueue()\n")
    said = run("import django, os\n" + blocks[0] + "print(type(work).__name__)", tmp_path)
    assert said == "WorkQueue\n"


@runs("frameworks.md", 2)
def test_the_settings_of_djangos_own_tasks(blocks: list[str], tmp_path: Path) -> None:
    names: dict[str, Any] = {"Retries": Retries}
    exec(blocks[0], names)
    assert names["TASKS"]["default"]["OPTIONS"]["retry"].attempts == 5
    if find_spec("django.tasks") is None:
        pytest.skip("django.tasks needs Django 6, which needs Python 3.12")
    head = "from leveret.tasks import Retries\nfrom django.conf import settings\n"
    tail = "settings.configure(TASKS=TASKS)\nfrom django.tasks import default_task_backend as one\nprint(one.queues)"
    assert "mail" in run(head + blocks[0] + tail, tmp_path)
