"""The API without a socket, and another app on its port: what the dashboard in the broker's process builds on."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from leveret.management.api import Api
from leveret.management.remote import Declined
from leveret.server.config import Config
from leveret.server.config import Management as Settings
from leveret.server.http import Management
from leveret.server.server import Server


class Guest:
    """Answers with the path, and notes its life."""

    def __init__(self) -> None:
        self.life: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(f"guest {scope['path']}")(scope, receive, send)

    def start(self) -> None:
        self.life.append("start")

    async def stop(self) -> None:
        self.life.append("stop")


def with_api(play: Callable[[Api, Management, Guest], Awaitable[None]]) -> Guest:
    """`play` on a broker in this thread's loop, which keeps nothing."""
    guest = Guest()

    async def whole() -> None:
        server = Server(Config(memory=True, port=0, management=Settings(port=0)))
        apis: list[Api] = []

        def mount(_: Server, api: Api) -> Guest:
            apis.append(api)
            return guest

        management = Management(server, mount)
        await server.start()
        management.start()
        try:
            await play(apis[0], management, guest)
        finally:
            await management.rest()
            await server.stop()
            await management.stop()

    asyncio.run(whole())
    return guest


def declined(status: int) -> Any:
    return pytest.raises(Declined, match=f"answered {status}:")


def test_what_is_asked_in_the_process_is_done_and_shown_as_over_http() -> None:
    async def play(api: Api, management: Management, guest: Guest) -> None:
        arguments = {"x-message-ttl": 5}
        assert await api.ask("guest", "PUT", "/api/queues/%2F/a%2Fb", body={"arguments": arguments}) is None
        (row,) = await api.ask("guest", "GET", "/api/queues", {"columns": "name,arguments"})
        assert row == {"name": "a/b", "arguments": arguments}
        assert await api.ask("guest", "GET", "/api/queues?columns=name") == [{"name": "a/b"}]
        sent = {"properties": {}, "routing_key": "a/b", "payload": "x", "payload_encoding": "string"}
        assert await api.ask("guest", "POST", "/api/exchanges/%2F/amq.default/publish", body=sent) == {"routed": True}

    with_api(play)


def test_what_is_refused_in_the_process_is_refused_as_over_http() -> None:
    async def play(api: Api, management: Management, guest: Guest) -> None:
        with declined(404):
            await api.ask("guest", "GET", "/api/queues/%2F/missing")
        with declined(404):
            await api.ask("guest", "GET", "/api/nothing/of/this")
        with declined(405):
            await api.ask("guest", "PUT", "/api/overview")
        with declined(400):
            await api.ask("guest", "PUT", "/api/queues/%2F/q", body={"durable": "perhaps"})
        with declined(503):
            await api.ask("guest", "GET", "/api/health/checks/port-listener/1")
        with declined(401):
            await api.ask("nobody", "GET", "/api/overview")

    with_api(play)


def test_a_user_sees_no_more_in_the_process_than_over_http() -> None:
    async def play(api: Api, management: Management, guest: Guest) -> None:
        await api.ask("guest", "PUT", "/api/users/plain", body={"password": "p", "tags": "management"})
        await api.ask("guest", "PUT", "/api/queues/%2F/q", body={})
        assert await api.ask("plain", "GET", "/api/queues") == []
        with declined(401):
            await api.ask("plain", "PUT", "/api/queues/%2F/mine", body={})
        await api.ask("guest", "PUT", "/api/users/plain", body={"password": "p", "tags": ""})
        with declined(401):
            await api.ask("plain", "GET", "/api/queues")

    with_api(play)


def test_another_app_answers_all_paths_but_those_of_the_api() -> None:
    def fetched(url: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as wrong:
            return wrong.code, ""

    async def play(api: Api, management: Management, guest: Guest) -> None:
        for path, answer in (("/", (200, "guest /")), ("/ui/x", (200, "guest /ui/x")), ("/api/overview", (401, ""))):
            url = f"http://127.0.0.1:{management.doors[0].listener.port}{path}"
            assert await asyncio.to_thread(fetched, url) == answer

    assert with_api(play).life == ["start", "stop"]
