"""Celery Flower, as it is: its broker page shows the queues that the management API tells of."""

from __future__ import annotations

import base64
import html
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from brokers import Broker, free_port
from management.support import Api

WITHIN_S = 90.0
QUEUE = "flower's queue/1"


VHOST = "of-flower"


@pytest.fixture
def page(shared: Broker, tmp_path: Path) -> Iterator[str]:
    """The address of the broker page, of a Flower for an application with one queue."""
    pytest.importorskip("flower")
    api = Api(shared)
    api("PUT", f"/vhosts/{VHOST}", {})
    api("PUT", f"/permissions/{VHOST}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    program = f"from celery import Celery\napp = Celery('shop', broker={shared.url + VHOST!r})\n"
    (tmp_path / "shop.py").write_text(program + f"app.conf.task_default_queue = {QUEUE!r}\n")
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "shop", "flower", f"--port={port}", "--address=127.0.0.1"]
    command += [f"--broker-api={shared.management_url}/api/"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/broker"
    finally:
        process.kill()
        process.wait()


def cells(page: str) -> list[str]:
    """What stands in the table; nothing while Flower has not begun."""
    token = base64.b64encode(b"guest:guest").decode()
    asked = urllib.request.Request(page, headers={"Authorization": f"Basic {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return []
    return [html.unescape(re.sub(r"<[^>]*>", "", one)).strip() for one in re.findall(r"<td[^>]*>(.*?)</td>", text)]


def test_its_broker_page_shows_what_is_ready_and_what_is_unacknowledged(shared: Broker, page: str) -> None:
    with shared.connect(virtual_host=VHOST) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(QUEUE, durable=True)
        for _ in range(3):
            channel.basic_publish("", QUEUE, b"x", pika.BasicProperties(delivery_mode=2))
        channel.basic_get(QUEUE)
        deadline = time.monotonic() + WITHIN_S
        while (shown := cells(page))[:5] != [QUEUE, "3", "1", "2", "0"]:
            assert time.monotonic() < deadline, shown
            connection.process_data_events(0.2)
