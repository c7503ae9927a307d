"""What administrators do, over the HTTP API that both brokers have: users, virtual hosts, permissions, policies, limits."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingConnection

from brokers import Broker


@contextmanager
def login_refused(text: str) -> Iterator[None]:
    """connection.open is answered by connection.close with 530 and exactly this text."""
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError) as caught:
        yield
    assert f"(530) {text!r}" in caught.value.args[0]


EVERYTHING = (".*", ".*", ".*")
_numbers = itertools.count(1)


class Admin:
    """Calls the API as guest, unless told otherwise. Names are quoted here: paths are given as their parts."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._made: list[tuple[str, ...]] = []

    # ---- the API

    def call(self, method: str, *parts: str, body: Any = None, user: str = "guest:guest") -> tuple[int, Any]:
        """Status, and what was answered: JSON, or None."""
        path = "/".join(quote(part, safe="") for part in parts)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.broker.management_port}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(user.encode()).decode()}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            status, text = refusal.code, refusal.read()
        return status, json.loads(text) if text else None

    def get(self, *parts: str) -> Any:
        status, answer = self.call("GET", *parts)
        assert status == 200, (status, answer)
        return answer

    def put(self, *parts: str, **body: Any) -> None:
        status, answer = self.call("PUT", *parts, body={key.replace("_", "-"): value for key, value in body.items()})
        assert status in (201, 204), (status, answer)

    def delete(self, *parts: str) -> None:
        status, answer = self.call("DELETE", *parts)
        assert status == 204, (status, answer)

    # ---- what tests need over and over

    def vhost(self, **metadata: Any) -> str:
        """A new virtual host that guest may use."""
        name = f"v{next(_numbers)}"
        self.call("PUT", "vhosts", name, body=metadata)
        self._made.append(("vhosts", name))
        return name

    def user(self, vhost: str | None = None, permissions: tuple[str, str, str] = EVERYTHING, tags: str = "") -> str:
        """A new user with the password `secret`, with permissions (configure, write, read) on `vhost`."""
        name = f"u{next(_numbers)}"
        self.put("users", name, password="secret", tags=tags)
        self._made.append(("users", name))
        if vhost is not None:
            self.permit(vhost, name, *permissions)
        return name

    def permit(self, vhost: str, user: str, configure: str, write: str, read: str) -> None:
        self.put("permissions", vhost, user, configure=configure, write=write, read=read)

    def connect(self, user: str, vhost: str, password: str = "secret") -> BlockingConnection:
        return self.broker.connect(virtual_host=vhost, credentials=pika.PlainCredentials(user, password))

    def clean_up(self) -> None:
        for parts in self._made:
            self.call("DELETE", *parts)
        self._made.clear()

    def refused(self, permission: str, what: str, vhost: str, user: str) -> str:
        """RabbitMQ says since 3.13 which permission is missing."""
        word = "" if self.broker.kind == "rabbitmq" else f"{permission} "
        return f"ACCESS_REFUSED - {word}access to {what} in vhost '{vhost}' refused for user '{user}'"
