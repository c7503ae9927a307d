"""Speaks to a management API, of either broker, and shows the answer as it came."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any

from brokers import Broker


@dataclass
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Api:
    def __init__(self, broker: Broker, user: str = "guest:guest") -> None:
        self.broker = broker
        self.user = user

    def __call__(
        self, method: str, path: str, body: Any = None, text: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return self.at(method, "/api" + path, body, text, headers)

    def at(
        self, method: str, path: str, body: Any = None, text: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """The same at a path that is not the API's."""
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.management_port, timeout=30)
        sent = text if text is not None else None if body is None else json.dumps(body)
        token = base64.b64encode(self.user.encode()).decode()
        connection.request(
            method,
            path,
            sent,
            {"Authorization": f"Basic {token}", "Content-Type": "application/json", **(headers or {})},
        )
        answer = connection.getresponse()
        said = Answer(
            answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
        )
        connection.close()
        return said
