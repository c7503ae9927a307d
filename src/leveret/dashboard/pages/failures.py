"""Failures: what fails and how often, and the dead letters of each queue, grouped by task and error, to be sent again or thrown away.

Dead letters are looked at only when somebody asks for it (a POST): a RabbitMQ counts each look at a message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from leveret.dashboard.ask import NOT_FOUND, Ask, Refused, Table, watched
from leveret.dashboard.moving import connected
from leveret.errors import ChannelError
from leveret.tasks.dead import DeadLetter, DeadLetters, Filter
from leveret.tasks.topology import DEAD

DAY_S: Final = 24 * 3600.0
POINTS: Final = 24
LOOKED: Final = 1_000
LOOKED_MAX: Final = 10_000
SHOWN: Final = 50
TEXT_CHARACTERS_MAX: Final = 20_000
ALL: Final = 1_000_000
GROUP: Final = ("task", "exception", "reason")
"""What a group's letters have in common."""

Row = dict[str, Any]
Wanted = Callable[[DeadLetter], bool]


@watched(2.0)
async def show(ask: Ask) -> Any:
    """`queues` that have dead letters, `trends` of what failed in the last day, whether or not it was tried again."""
    seen = await ask.vhosts()
    queues: list[Row] = [
        {"vhost": track.figures.vhost, "queue": track.figures.name.removesuffix(DEAD), "dead": track.figures.ready}
        for track in await ask.sampling.seen(seen)
        if track.figures.name.endswith(DEAD) and track.figures.ready + track.figures.unacked
    ]
    queues.sort(key=lambda row: (-row["dead"], row["queue"]))
    trends = await ask.history.failing(ask.now - DAY_S, ask.now, POINTS) if ask.history is not None else []
    return {
        "queues": queues,
        "kept": ask.history is not None,
        "trends": [trend for trend in trends if trend.vhost in seen],
    }


async def look(ask: Ask) -> Any:
    """The oldest `most` letters: `groups` of all of them, and the first that are wanted, in full."""
    most = ask.whole("most", 1, LOOKED_MAX) if "most" in ask.body else LOOKED
    wanted = chosen(ask.body)
    groups: dict[tuple[str, ...], Group] = {}
    letters: list[Row] = []
    looked = 0
    async with opened(ask) as dead:
        there = (await dead.look(ask.names[1] + DEAD)).messages
        async for letter in dead.letters(Filter(), most):
            looked += 1
            groups.setdefault(key_of(letter), Group(letter)).add(letter)
            if wanted(letter) and len(letters) < SHOWN:
                letters.append(row_of(letter))
    told = sorted(groups.values(), key=lambda group: -group.count)
    return {"there": there, "looked": looked, "groups": [group.row() for group in told], "letters": letters}


@asynccontextmanager
async def opened(ask: Ask) -> AsyncIterator[DeadLetters]:
    """Refused (404) if nothing of this queue was ever given up."""
    vhost, queue = ask.names
    try:
        async with await connected(ask.source.amqp_url(vhost)) as connection, DeadLetters(connection, queue) as dead:
            yield dead
    except ChannelError as error:
        if error.code == NOT_FOUND and queue + DEAD in error.text:
            raise Refused(NOT_FOUND, f"queue {queue} has no dead letters") from None
        raise


@dataclass(slots=True)
class Group:
    latest: DeadLetter
    count: int = 0
    times: list[float] = field(default_factory=list)

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        self.latest = letter
        if letter.last_failure is not None:
            self.times.append(letter.last_failure.timestamp())

    def row(self) -> Row:
        one = self.latest
        return {
            **dict(zip(GROUP, key_of(one), strict=True)),
            "error": cut(one.error),
            "count": self.count,
            "first": min(self.times, default=None),
            "last": max(self.times, default=None),
        }


def key_of(letter: DeadLetter) -> tuple[str, ...]:
    return letter.task, letter.exception, letter.reason


def row_of(letter: DeadLetter) -> Row:
    return {
        "id": letter.id,
        "task": letter.task,
        "reason": letter.reason,
        "exception": letter.exception,
        "error": cut(letter.error),
        "traceback": cut(letter.traceback),
        "attempts": letter.attempts,
        "first": seconds(letter.first_failure),
        "last": seconds(letter.last_failure),
        "body": cut(letter.body.decode("utf-8", "replace")),
        "whole": len(letter.body) <= TEXT_CHARACTERS_MAX,
    }


def cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS_MAX else f"{text[:TEXT_CHARACTERS_MAX]}…"


def seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


# ---- what becomes of them


def chosen(body: Mapping[str, Any]) -> Wanted:
    """By `ids`, and by what the letters of a group have in common; without any of these, all. Refused (400): no texts."""
    ids = body.get("ids")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(id, str) for id in ids)):
        raise Refused(400, "ids has to be a list of texts")
    group = body.get("group")
    if group is not None and not (isinstance(group, dict) and all(isinstance(group.get(name), str) for name in GROUP)):
        raise Refused(400, f"group has to say {', '.join(GROUP)}")
    wanted_ids = None if ids is None else frozenset(ids)
    wanted_group = None if group is None else tuple(group[name] for name in GROUP)
    return lambda letter: (
        (wanted_ids is None or letter.id in wanted_ids) and (wanted_group is None or key_of(letter) == wanted_group)
    )


def decided(body: Mapping[str, Any]) -> Wanted:
    """The same, but all are meant only if `all` says so. Refused (400): it says nothing."""
    if not (body.get("ids") or body.get("group") is not None or body.get("all") is True):
        raise Refused(400, "which letters? name their ids, their group, or say all")
    return chosen(body)


async def requeue(ask: Ask) -> Any:
    wanted = decided(ask.body)
    return {"count": await each(ask, wanted, lambda dead, letter: dead.requeue(letter))}


async def discard(ask: Ask) -> Any:
    wanted = decided(ask.body)
    return {"count": await each(ask, wanted, lambda dead, letter: dead.discard(letter))}


async def edit(ask: Ask) -> Any:
    """One letter goes back to its queue with another body. Refused (404) if it is gone meanwhile."""
    id, body = ask.text("id"), ask.text("body").encode()
    if not id:
        raise Refused(400, "a letter without an id cannot be edited: it could not be told from others")
    count = await each(ask, lambda letter: letter.id == id, lambda dead, letter: dead.requeue(letter, body))
    if not count:
        raise Refused(404, "this letter is gone: somebody else requeued or discarded it")
    return {"count": count}


async def each(ask: Ask, wanted: Wanted, act: Callable[[DeadLetters, DeadLetter], Any]) -> int:
    """One after another, so that none is lost; how many."""
    count = 0
    async with opened(ask) as dead:
        async for letter in dead.letters(Filter(), ALL):
            if wanted(letter):
                await act(dead, letter)
                count += 1
    return count


TABLE: Table = {
    "failures": {"GET": show},
    "failures/*/*/look": {"POST": look},
    "failures/*/*/requeue": {"POST": requeue},
    "failures/*/*/discard": {"POST": discard},
    "failures/*/*/edit": {"POST": edit},
}
