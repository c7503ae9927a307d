"""`leveret why TASK_ID`: where a task is now, and why it has not run yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from leveret.cli.completing import queues
from leveret.cli.looking import Format, Formatter, show, written
from leveret.cli.output import fail, printable
from leveret.cli.reaching import Url, api_of, url_of
from leveret.client import connect
from leveret.client.url import PORTS, parse_url
from leveret.errors import ChannelError, LeveretError, ManagementError
from leveret.management import remote
from leveret.management.remote import Declined
from leveret.tasks.events import BEAT_S, Beat
from leveret.tasks.finding import NOT_FOUND, Get
from leveret.tasks.judging import Remembered, Why
from leveret.tasks.listener import Listener
from leveret.tasks.why import why as ask

HEARD_S: Final = BEAT_S * 1.25
"""In this time each worker says once what it runs."""

Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", help="Where to look first; may be given again.", autocompletion=queues),
]
Management = Annotated[
    str | None,
    typer.Option(
        "--management",
        envvar="LEVERET_MANAGEMENT",
        help="URL of the management API; default: port 15672 beside a broker on port 5672.",
    ),
]


def why(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID", help="Its message_id, as logs show it.")],
    queue: Queues = None,
    url: Url = None,
    management: Management = None,
    formatter: Format = Formatter.table,
) -> None:
    """Say where a task is and why it has not run yet. Takes three seconds, in which each worker says what it runs.

    On a RabbitMQ queues are looked into, the first 1,000 messages of each, which are marked redelivered by that.
    """
    try:
        named = management or (api_of(None) if url is None and Path(".leveret").is_dir() else None)
        answer = asyncio.run(_answer(task_id, url_of(url), named, queue or []))
    except ValueError as error:
        fail(f"--management {error}")
    except LeveretError as error:
        fail(str(error), 1)
    _tell(task_id, answer, formatter)


async def _answer(id: str, url: str, management: str | None, likely: list[str]) -> Why:
    get = await _api(url, management)
    connection = await connect(url, name="leveret why", reconnect=False)
    async with connection:
        beats = await _heard(url)
        vhost = parse_url(url).vhost
        known = None if get is None else await _remembered(id, vhost, get)
        return await ask(id, connection, vhost=vhost, get=get, beats=beats, remembered=known, likely=likely)


async def _remembered(id: str, vhost: str, get: Get) -> Remembered | None:
    """By the broker's history; a RabbitMQ has none, nor has one where it is switched off."""
    try:
        lives = await get(f"/api/history/tasks/{quote(id, safe='')}")
    except Declined as declined:
        if declined.status != NOT_FOUND:
            raise
        return None
    rows = (life["row"] for life in lives if life["row"]["vhost"] == vhost)
    return next((Remembered(row["state"], row["changed"], row["queue"], row["task"]) for row in rows), None)


async def _heard(url: str) -> list[Beat]:
    """What each worker said last, but those that have stopped; nothing where this user may not listen."""
    last: dict[str, Beat] = {}
    loop = asyncio.get_running_loop()
    until = loop.time() + HEARD_S
    try:
        async with Listener(url, ["worker"], name="leveret why") as listener:
            while (left_s := until - loop.time()) > 0:
                for event in await listener.wait(left_s):
                    if isinstance(event, Beat):
                        last[event.worker] = event
    except ChannelError:
        return []
    return [beat for beat in last.values() if beat.state != "stopped"]


async def _api(url: str, given: str | None) -> Get | None:
    """How to ask the management API: one that is named, or the usual one of this broker, if that answers."""
    api = given or _usual(url)
    if api is None:
        return None
    asked = remote.remote(api)

    async def get(path: str) -> Any:
        return await asyncio.to_thread(asked.ask, "GET", path)

    return get if given or await _answers(get) else None


async def _answers(get: Callable[[str], Awaitable[Any]]) -> bool:
    try:
        await get("/api/whoami")
    except ManagementError:
        return False
    return True


def _usual(url: str) -> str | None:
    target = parse_url(url)
    at = target.endpoints[0]
    if at.path or at.port != PORTS["amqp"]:
        return None
    host = f"[{at.host}]" if ":" in at.host else at.host
    return f"http://{quote(target.user, safe='')}:{quote(target.password, safe='')}@{host}:{remote.PORTS['http']}"


def _tell(id: str, answer: Why, formatter: Formatter) -> None:
    if formatter is not Formatter.table:
        row = {"id": id, **asdict(answer)}
        show([row], list(row), formatter)
        return
    typer.echo(f"{answer.state}: {printable(answer.reason)}")
    if answer.advice:
        typer.echo(printable(answer.advice))
    times = {"since": answer.since, "until": answer.until}
    facts = {**answer.facts, **{name: _time(at) for name, at in times.items() if at is not None}}
    for name, value in facts.items():
        if value not in (None, ""):
            text = _time(value) if name in ("sent", "due") and isinstance(value, float | int) else written(value)
            typer.echo(f"  {name + ':':<12}{printable(str(text))}")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="seconds")
