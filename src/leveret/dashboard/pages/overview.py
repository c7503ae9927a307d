"""The overview: all queues together, the workers' slots, alarms, and what needs attention first."""

from __future__ import annotations

import heapq
from typing import Any, Final

from leveret.dashboard.ask import Ask, Table, watched
from leveret.dashboard.attention import in_queues, in_workers, ordered
from leveret.dashboard.pages import unacked
from leveret.dashboard.pages.queues import Tracks, dead, is_own, row_of, slots_by_vhost
from leveret.dashboard.sampling import Track
from leveret.errors import ManagementError

QUEUES: Final = 12


@watched(2.0)
async def show(ask: Ask) -> Any:
    sampling, boards = ask.sampling, await ask.boards()
    tracks = sampling.tracks
    everything = await sampling.seen(await ask.vhosts())
    named = await sampling.sliced(everything, lambda track: not is_own(track.figures, tracks))
    odd = await sampling.sliced(named, lambda track: needs_a_look(track, tracks))
    slots = await slots_by_vhost(ask)
    signs = [
        *in_queues(row_of(track, tracks, slots) for track in odd),
        *in_workers(boards, ask.now),
        *await unacked.signs(ask),
    ]
    return {
        "moment": (await sampling.moment(sampling.at, everything))._asdict(),
        "queues": len(named),
        "busy": sum(board.busy for board in boards.values()),
        "slots": sum(board.slots for board in boards.values()),
        "workers": sum(len(board.workers) for board in boards.values()),
        "done_rate": sum(board.done.per_s(ask.now) for board in boards.values()),
        "failed_rate": sum(board.failed.per_s(ask.now) for board in boards.values()),
        "alarms": await alarms_of(ask),
        "attention": [sign._asdict() for sign in ordered(signs)],
        "busiest": [row_of(track, tracks, slots) for track in busiest(named)],
        "trouble": sampling.trouble,
        "sampled": bool(sampling.moments),
    }


def needs_a_look(track: Track, tracks: Tracks) -> bool:
    figures = track.figures
    return bool((figures.ready and not figures.consumers) or track.growing or dead(track, tracks))


def busiest(tracks: list[Track]) -> list[Track]:
    """Those in which most is going on, or waits."""

    def order(track: Track) -> tuple[float, int, str]:
        figures = track.figures
        return (-(track.in_rate + track.out_rate), -(figures.ready + figures.unacked), figures.name)

    return heapq.nsmallest(QUEUES, tracks, key=order)


async def alarms_of(ask: Ask) -> list[dict[str, str]]:
    """As far as the user is told: nodes are for those who may monitor."""
    try:
        nodes = await ask.source.get("/api/nodes")
    except ManagementError:
        return []
    found = []
    for node in nodes:
        if node.get("mem_alarm"):
            found.append({"kind": "memory", "node": node["name"]})
        if node.get("disk_free_alarm"):
            found.append({"kind": "disk", "node": node["name"]})
    return found


TABLE: Table = {"overview": {"GET": show}}
