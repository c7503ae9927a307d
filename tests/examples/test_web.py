"""The web frameworks' examples: a request is answered, and a real `leveret worker` process does what it asked for."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import Broker, free_port
from examples.programs import EXAMPLES, Heard, Program, leveret_worker
from worker.support import declare

ONE_PIECE_S = 60
QUEUES = ("reports", "archives", "orders")


@pytest.fixture(autouse=True)
def no_queues(channel: BlockingChannel) -> None:
    """The examples' queues have names of their own: nothing of a test before is in them."""
    for queue in QUEUES:
        channel.queue_delete(queue)


@pytest.fixture
def environment(broker: Broker, tmp_path: Path) -> dict[str, str]:
    return {
        "LEVERET_URL": broker.url,
        "REPORTS": str(tmp_path / "reports"),
        "ARCHIVES": str(tmp_path / "archives"),
        "DATABASE": str(tmp_path / "db.sqlite3"),
    }


def done(worker: Heard, task: str) -> None:
    worker.until(lambda line: f"done task={task} " in line)


# ---- FastAPI, behind a real server


@pytest.fixture
def fastapi_url(environment: dict[str, str]) -> Iterator[str]:
    pytest.importorskip("fastapi")
    port, heard = free_port(), Heard()
    command = ["uvicorn", "app:app", "--port", str(port)]
    server = Program(command, EXAMPLES / "fastapi_app", environment, heard)
    try:
        heard.until(lambda line: "Application startup complete" in line)
        heard.until(lambda line: "running on" in line)
        yield f"http://127.0.0.1:{port}"
        server.process.terminate()
        heard.until(lambda line: "Application shutdown complete" in line)
    finally:
        server.kill()


def test_a_report_ordered_from_fastapi_is_written(fastapi_url: str, environment: dict[str, str]) -> None:
    sales = [
        {"product": "hare", "pieces": 2, "price": "0.10"},
        {"product": "hare", "pieces": 1, "price": "0.1"},
        {"product": "carrot", "pieces": 3, "price": "1"},
    ]
    ordered = httpx.post(f"{fastapi_url}/reports", json=sales, timeout=ONE_PIECE_S)
    assert ordered.status_code == 202
    address = f"{fastapi_url}/reports/{ordered.json()['report']}"
    assert httpx.get(address).status_code == 404
    with leveret_worker("app:work", EXAMPLES / "fastapi_app", environment) as worker:
        done(worker, "write_report")
    assert httpx.get(address).json() == {"carrot": "3", "hare": "0.30"}


def test_what_fastapi_refuses_is_not_sent(fastapi_url: str, channel: BlockingChannel) -> None:
    answer = httpx.post(f"{fastapi_url}/reports", json=[{"product": "hare"}], timeout=ONE_PIECE_S)
    assert answer.status_code == 422
    declare(channel, "reports")
    assert channel.queue_declare("reports", passive=True).method.message_count == 0


# ---- Flask, with its own test client


@pytest.fixture
def flask_module(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    pytest.importorskip("flask")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("flask_example", EXAMPLES / "flask_app" / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.work.close()


def test_files_uploaded_to_flask_are_packed(flask_module: ModuleType, environment: dict[str, str]) -> None:
    client = flask_module.app.test_client()
    uploads = [(io.BytesIO(b"hare"), "one.txt"), (io.BytesIO(b"leveret"), "two.txt")]
    ordered = client.post("/archives", data={"files": uploads})
    assert ordered.status_code == 202
    address = f"/archives/{ordered.json['archive']}"
    assert client.get(address).status_code == 404
    with leveret_worker("app:work", EXAMPLES / "flask_app", environment) as worker:
        done(worker, "pack")
    with zipfile.ZipFile(io.BytesIO(client.get(address).data)) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    assert packed == {"one.txt": b"hare", "two.txt": b"leveret"}


def test_flask_refuses_an_archive_of_nothing(flask_module: ModuleType) -> None:
    assert flask_module.app.test_client().post("/archives").status_code == 400


# ---- Django, behind a real server


@pytest.fixture
def django_url(environment: dict[str, str]) -> Iterator[str]:
    pytest.importorskip("django")
    folder, port, heard = EXAMPLES / "django_app", free_port(), Heard()
    migrate = [sys.executable, "manage.py", "migrate"]
    subprocess.run(
        migrate, cwd=folder, env={**os.environ, **environment}, check=True, timeout=ONE_PIECE_S, capture_output=True
    )
    command = ["manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    server = Program(command, folder, environment, heard, runner=[sys.executable, "-u"])
    try:
        heard.until(lambda line: "Starting development server" in line or "Quit the server" in line)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()


def test_an_order_placed_in_django_gets_its_invoice(django_url: str, environment: dict[str, str]) -> None:
    transport = httpx.HTTPTransport(retries=5)  # it says that it listens just before it does
    with httpx.Client(base_url=django_url, timeout=ONE_PIECE_S, transport=transport) as client:
        ordered = client.post("/orders", json={"customer": "March", "items": {"tea": 2, "cake": 1}})
        assert ordered.status_code == 202
        address = f"/orders/{ordered.json()['order']}/invoice"
        assert client.get(address).json()["invoice"] is None
        with leveret_worker("worker:work", EXAMPLES / "django_app", environment) as worker:
            done(worker, "write_invoice")
        assert client.get(address).json()["invoice"].splitlines()[1:] == ["1 x cake", "2 x tea"]
