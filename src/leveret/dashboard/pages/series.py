"""Figures over time, for charts: from the history if there is one, else what sampling still has."""

from __future__ import annotations

from typing import Any, Final

from msgspec import to_builtins

from leveret.dashboard.ask import Ask, Refused, Table
from leveret.history import Of, Series
from leveret.management.calls import SEE_ALL

SINCE_S: Final = 900.0
POINTS: Final = 300
DAY_S: Final = 86_400.0


async def show(ask: Ask) -> Any:
    """{at, ready, unacked, in, out, …}, each a list of the same length. `of`: see history.Of."""
    try:
        of = Of.parse(ask.query.get("of", "total"))
        until = float(ask.query.get("until", ask.now))
        since = float(ask.query.get("since", until - SINCE_S))
    except ValueError as error:
        raise Refused(400, str(error)) from None
    if not 0 <= since < until <= ask.now + DAY_S:
        raise Refused(400, f"since {since} until {until} is no stretch of time, in seconds since 1970")
    await check(ask, of)
    recent = recent_of(ask, of)
    if ask.history is None or (recent["at"] and since >= recent["at"][0]):
        return recent
    series = await ask.history.series(of, since, until, ask.number("points", POINTS, 2_000))
    return series if of.kind == "task" else looked(series)


def looked(series: Series) -> dict[str, Any]:
    """Without what is before anybody looked and after: where nobody looked nothing was counted either."""
    known = [place for place, ready in enumerate(series.ready) if ready is not None]
    told: dict[str, list[Any]] = {name: values for name, values in to_builtins(series).items() if name != "step_s"}
    if not known:
        return {name: [] for name in told}
    part = slice(known[0], known[-1] + 1)
    unknown = [ready is None for ready in series.ready[part]]
    return {
        name: [None if gap and name != "at" else value for value, gap in zip(values[part], unknown, strict=True)]
        for name, values in told.items()
    }


async def check(ask: Ask, of: Of) -> None:
    """KeyError if the user may not see it."""
    if of.kind == "total":
        if not SEE_ALL.intersection(ask.source.tags):
            raise Refused(403, "the sum of all virtual hosts is for users with the tag monitoring or administrator")
    elif of.vhost not in await ask.vhosts():
        raise KeyError(of.vhost)


def recent_of(ask: Ask, of: Of) -> dict[str, list[Any]]:
    if of.kind == "total":
        moments = list(ask.sampling.moments)
        return {
            "at": [one.at for one in moments],
            "ready": [one.ready for one in moments],
            "unacked": [one.unacked for one in moments],
            "in": [one.in_rate for one in moments],
            "out": [one.out_rate for one in moments],
        }
    track = ask.sampling.tracks.get((of.vhost, of.name)) if of.kind == "queue" else None
    return {"at": [], "ready": [], "unacked": [], "in": [], "out": []} if track is None else track.series()


TABLE: Table = {"series": {"GET": show}}
