"""The list of queues: filtered, sorted and cut into pages here, from what sampling has of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from leveret.dashboard.ask import Ask, Refused, Table, watched
from leveret.dashboard.sampling import Key, Track
from leveret.dashboard.slots import NOBODY, Slots, slots_of
from leveret.dashboard.source import Figures
from leveret.tasks.pausing import mark_of
from leveret.tasks.topology import DEAD

OWN: Final = "leveret."
"""How the queues begin that the work queue makes for itself."""
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 500
FLOWS: Final = 0.01
"""A rate below that is none, per second."""

Row = dict[str, Any]

Tracks = Mapping[Key, Track]
SlotsByVhost = Mapping[str, Slots]


@watched()
async def show(ask: Ask) -> Any:
    tracks, slots = ask.sampling.tracks, await slots_by_vhost(ask)
    chosen = ask.query.get("sort", "name")
    if chosen not in SORTS:
        raise Refused(400, f"nothing can be sorted by {chosen}; there are: {', '.join(sorted(SORTS))}")
    seen = await ask.vhosts()
    everything = await ask.sampling.seen(seen)
    found = await ask.sampling.sliced(everything, lambda track: wanted(track, ask.query, tracks))
    key = SORTS[chosen]
    found.sort(
        key=lambda track: place(key(track, tracks, slots), track), reverse=ask.query.get("sort_reverse") == "true"
    )
    page = paged(found, ask.number("page", 1, 1_000_000), ask.number("page_size", PAGE_SIZE, PAGE_SIZE_MAX))
    return page | {
        "items": [row_of(track, tracks, slots) for track in page["items"]],
        "vhosts": sorted(seen),
        "all": len(everything),
        "trouble": ask.sampling.trouble,
        "sampled": bool(ask.sampling.moments),
    }


async def slots_by_vhost(ask: Ask) -> SlotsByVhost:
    return {vhost: slots_of(board) for vhost, board in (await ask.boards()).items()}


def row_of(track: Track, tracks: Tracks, slots: SlotsByVhost) -> Row:
    """Of a queue: sizes in messages, rates per second, `sparkline` its depth in the last 90 seconds."""
    figures = track.figures
    busy, number, free = slots_at(track, slots)
    return {
        "name": figures.name,
        "vhost": figures.vhost,
        "ready": figures.ready,
        "unacked": figures.unacked,
        "total": figures.ready + figures.unacked,
        "consumers": figures.consumers,
        "in_rate": round(track.in_rate, 2),
        "out_rate": round(track.out_rate, 2),
        "sparkline": track.depths,
        "busy": busy,
        "slots": number,
        "free": free,
        "dead": dead(track, tracks),
        "drain_s": drain_s(track),
        "growing": track.growing,
        "paused": (figures.vhost, mark_of(figures.name)) in tracks,
        "own": is_own(figures, tracks),
    }


def slots_at(track: Track, slots: SlotsByVhost) -> tuple[int, int, int]:
    """Of the workers' slots, how many are busy with this queue, how many may be, and how many of those do nothing."""
    there = slots.get(track.figures.vhost)
    return NOBODY if there is None else there.of(track.figures.name)


def dead(track: Track, tracks: Tracks) -> int:
    """How many dead letters the queue has."""
    letters = tracks.get((track.figures.vhost, track.figures.name + DEAD))
    return 0 if letters is None else letters.figures.ready + letters.figures.unacked


def is_own(figures: Figures, tracks: Tracks) -> bool:
    """One that the work queue made beside the one that a program named."""
    name = figures.name
    return name.startswith(OWN) or (name.endswith(DEAD) and (figures.vhost, name.removesuffix(DEAD)) in tracks)


def drain_s(track: Track) -> float | None:
    """When it is empty if all goes on as it does; None: never."""
    if not track.figures.ready:
        return 0.0
    net = track.out_rate - track.in_rate
    return round(track.figures.ready / net, 1) if net > FLOWS else None


def wanted(track: Track, query: Mapping[str, str], tracks: Tracks) -> bool:
    """`own=true` shows the work queue's own ones as well."""
    figures = track.figures
    return (
        query.get("name", "").casefold() in figures.name.casefold()
        and query.get("vhost") in (None, "", figures.vhost)
        and (query.get("own") == "true" or not is_own(figures, tracks))
    )


SORTS: Final[Mapping[str, Callable[[Track, Tracks, SlotsByVhost], Any]]] = {
    "name": lambda track, tracks, slots: track.figures.name.casefold(),
    "vhost": lambda track, tracks, slots: track.figures.vhost.casefold(),
    "ready": lambda track, tracks, slots: track.figures.ready,
    "unacked": lambda track, tracks, slots: track.figures.unacked,
    "total": lambda track, tracks, slots: track.figures.ready + track.figures.unacked,
    "consumers": lambda track, tracks, slots: track.figures.consumers,
    "in_rate": lambda track, tracks, slots: track.in_rate,
    "out_rate": lambda track, tracks, slots: track.out_rate,
    "busy": lambda track, tracks, slots: slots_at(track, slots)[0],
    "dead": lambda track, tracks, slots: dead(track, tracks),
    "drain_s": lambda track, tracks, slots: drain_s(track),
}


def place(value: Any, track: Track) -> Any:
    """What never ends comes after everything else; names decide between equals."""
    return (float("inf") if value is None else value, track.figures.name)


def paged(found: list[Track], page: int, size: int) -> dict[str, Any]:
    pages = max(1, -(-len(found) // size))
    page = min(page, pages)
    return {
        "items": found[(page - 1) * size : page * size],
        "page": page,
        "page_count": pages,
        "page_size": size,
        "filtered": len(found),
    }


TABLE: Table = {"queues": {"GET": show}}
