"""One HTTP request: the path taken apart, the body read, and what a refusal looks like, all as RabbitMQ's API has it.

The actions in management/topology, messages and node take a `Call` and return what is to be answered: a value becomes
JSON, a Response is sent as it is. Called by management/app.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from leveret.broker.broker import Broker
from leveret.broker.users import User
from leveret.broker.vhost import VirtualHost
from leveret.errors import AMQPError, InvalidSetting
from leveret.management.details import Details
from leveret.management.endpoints import Refused, no_vhost
from leveret.management.sampling import Sampling

Action = Callable[["Call"], Any]
"""May also return an awaitable."""

Table = Mapping[str, Mapping[str, Action]]
"""By pattern below /api/, where * stands for one name, then by HTTP method."""


SEE_ALL: Final = frozenset(("administrator", "monitoring"))
"""The tags with which a user may look into every virtual host."""


SLICE_S: Final = 0.01


def not_found() -> Refused:
    return Refused(404, "Object Not Found", "Not Found")


def no_entry() -> Refused:
    return Refused(401, "not_authorised", "User not authorised to access virtual host")


class Call:
    def __init__(
        self,
        broker: Broker,
        sampling: Sampling,
        user: User,
        names: tuple[str, ...],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        sent: Callable[[], Any],
        turn: Callable[[], None],
        body_bytes_max: int,
    ) -> None:
        self.broker: Final = broker
        self.sampling: Final = sampling
        self.user: Final = user
        self.names: Final = names
        """What the pattern's stars stand for."""
        self.query: Final = query
        self.headers: Final = headers
        self.turn: Final = turn
        """To be called after waiting: a turn of the loop begins."""
        self.body_bytes_max: Final = body_bytes_max
        self._sent: Final = sent

    def details(self, kind: str = "") -> Details:
        """How the query wants figures to be shown."""
        return Details(self.sampling, self.query, kind)

    async def sliced(self, work: Iterator[None]) -> None:
        """Do all of it, with the others' turns between."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE_S
        for _ in work:
            if loop.time() > until:
                await self.pause()
                until = loop.time() + SLICE_S

    async def pause(self) -> None:
        await asyncio.sleep(0)
        self.turn()

    def vhost(self) -> VirtualHost:
        """The virtual host that the first name names, to change something in it."""
        vhost = self.broker.vhosts.get(self.names[0])
        if vhost is None:
            raise no_vhost()
        if self.user.name not in vhost.permissions.grants:
            raise no_entry()
        return vhost

    def seen(self) -> VirtualHost:
        """The same, to look into it: KeyError if there is none."""
        vhost = self.broker.vhosts[self.names[0]]
        if not self.may_see(vhost):
            raise no_entry()
        return vhost

    @property
    def sees_all(self) -> bool:
        return bool(SEE_ALL.intersection(self.user.tags))

    def may_see(self, vhost: VirtualHost) -> bool:
        return self.user.name in vhost.permissions.grants or self.sees_all

    def visible(self) -> list[VirtualHost]:
        """The virtual host in the path, or all whose things the user may see."""
        return [self.seen()] if self.names else [one for one in self.broker.vhosts.values() if self.may_see(one)]

    def asked(self, name: str) -> bool:
        """A flag of the query, as `if-unused=true`."""
        return self.query.get(name, "false") == "true"

    @property
    def body(self) -> Any:
        """What was sent, an empty object if nothing was."""
        return self._sent()

    def fields(self) -> dict[str, Any]:
        """The body as an object."""
        body = self.body
        if not isinstance(body, dict):
            raise Refused(400, "bad_request", "not_json")
        return body

    def fields_with(self, *keys: str) -> dict[str, Any]:
        """The body, which has all these."""
        body = self.fields()
        missing = [key for key in keys if key not in body]
        if missing:
            listed = ",".join(f"{{key_missing,{key}}}" for key in missing)
            raise Refused(400, "bad_request", f"[{listed}]")
        return body


def decoded(sent: bytes) -> Any:
    try:
        return msgspec.json.decode(sent) if sent.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "bad_request", "not_json") from None


def flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise Refused(400, "bad_request", ["not_boolean", value])


def table(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A JSON object in the body; an empty list is RabbitMQ's other way of writing an empty one."""
    value = body.get(name, {})
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise Refused(400, "bad_request", f"{name} is not an object")
    return value


def refused(error: AMQPError) -> Refused:
    """What a client would be told on its channel, in the words of HTTP."""
    text = error.text.partition(" - ")[2] or error.text
    if error.code == 403:
        return Refused(401, "not_authorised", "Access refused.")
    if error.code == 404:
        return Refused(404, "not_found", text)
    return Refused(400, "bad_request", text)


@contextlib.contextmanager
def refusing_openly() -> Iterator[None]:
    """Where RabbitMQ does not keep to itself why access was refused."""
    try:
        yield
    except AMQPError as wrong:
        if wrong.code != 403:
            raise
        raise Refused(401, "not_authorised", wrong.text) from None


def reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value, enc_hook=str), status, media_type="application/json")


ROWS_AT_ONCE: Final = 100


async def reply_in_turns(value: Any, turn: Callable[[], None]) -> Response:
    """A long list becomes JSON bit by bit, with the others' turns between."""
    if not isinstance(value, list) or len(value) <= ROWS_AT_ONCE:
        return reply(value)
    pieces = []
    for first in range(0, len(value), ROWS_AT_ONCE):
        pieces.append(msgspec.json.encode(value[first : first + ROWS_AT_ONCE], enc_hook=str)[1:-1])
        await asyncio.sleep(0)
    turn()
    return Response(b"[" + b",".join(pieces) + b"]", media_type="application/json")


def error(status: int, kind: str, reason: object) -> Response:
    return reply({"error": kind, "reason": reason}, status)


class Paths:
    """Finds the action for a path as it was sent: %2F is the slash of a name, and one slash at the end means nothing."""

    def __init__(self, *tables: Table) -> None:
        merged: dict[str, dict[str, Action]] = {}
        for one in tables:
            for path, methods in one.items():
                merged.setdefault(path, {}).update(methods)
        self._by_length: dict[int, list[tuple[list[str], Mapping[str, Action]]]] = {}
        for path, methods in merged.items():
            parts = path.split("/")
            self._by_length.setdefault(len(parts), []).append((parts, methods))

    def find(self, path: str) -> tuple[Mapping[str, Action], tuple[str, ...]]:
        """The actions by method, and what the stars stand for; Refused (404) if there is no such path."""
        parts = [unquote(part) for part in path.split("?")[0].removesuffix("/").split("/")[2:]]
        for pattern, methods in self._by_length.get(len(parts), ()):
            if all(one in ("*", part) for one, part in zip(pattern, parts, strict=True)):
                return methods, tuple(part for one, part in zip(pattern, parts, strict=True) if one == "*")
        raise not_found()


async def received(request: Request, bytes_max: int) -> bytes:
    """The body, as it came: compressed ones are not opened. Refused above the limit, without reading on."""
    pieces = []
    octets = 0
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) <= bytes_max:
        async for piece in request.stream():
            octets += len(piece)
            if octets > bytes_max:
                break
            pieces.append(piece)
        else:
            return b"".join(pieces)
    raise Refused(400, "bad_request", "Exceeded HTTP request body size limit")


async def perform(action: Action, call: Call) -> Any:
    """What it returns. Whatever is wrong is raised as Refused."""
    try:
        value = action(call)
        return await value if inspect.isawaitable(value) else value
    except AMQPError as wrong:
        raise refused(wrong) from None
    except InvalidSetting as wrong:
        raise Refused(400, "bad_request", wrong.reason) from None
    except KeyError:
        raise not_found() from None
    except ValueError as wrong:
        raise Refused(400, "bad_request", str(wrong)) from None


async def created(broker: Broker, new: bool) -> Response:
    """201 or 204 as soon as it is on disk: what an administrator is told to be done does not come undone by a crash."""
    await committed(broker)
    return Response(status_code=201 if new else 204)


async def gone(broker: Broker) -> Response:
    return await created(broker, False)


def committed(broker: Broker) -> Awaitable[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    broker.store.after_commit(lambda: None if done.done() else done.set_result(None))
    return done
