"""Figures with their `_details`, as RabbitMQ's API shows them: the rate, and over time if the query asks for that.

`lengths_age` and `lengths_incr` (seconds) ask for samples of lengths, `msg_rates_…` of messages, `data_rates_…` of octets,
`node_stats_…` of a node's. Made for each request by management/calls, out of management/sampling.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from leveret.management import figures
from leveret.management.sampling import Sampling
from leveret.management.series import Series

View = dict[str, Any]
SAMPLES_MAX: Final = 2_000

KINDS: Final = {
    **dict.fromkeys(figures.LENGTHS, "lengths"),
    **dict.fromkeys(figures.OCTETS, "data_rates"),
}
"""By figure the query's word for it; others are `msg_rates`."""


class Details:
    """ValueError if the query asks for more samples than there can be, or for no number of them."""

    def __init__(self, sampling: Sampling, query: Mapping[str, str], kind: str = "") -> None:
        """`kind`: that all figures are of."""
        self.sampling: Final = sampling
        self._kind: Final = kind
        self._times: Final = {
            one: asked_times(query, one) for one in ("lengths", "msg_rates", "data_rates", "node_stats")
        }

    def shown(self, names: tuple[str, ...], values: tuple[float, ...], series: Series | None) -> View:
        """Each figure, as it is now, and its details."""
        view: View = {}
        for column, (name, value) in enumerate(zip(names, values, strict=True)):
            view[name] = value
            times = self._times[self._kind or KINDS.get(name, "msg_rates")]
            view[name + "_details"] = (
                {"rate": self.sampling.rate(series, column)} if times is None else sampled(series, column, times)
            )
        return view


def asked_times(query: Mapping[str, str], kind: str) -> list[int] | None:
    """When the samples are to be from, in ms, the oldest first; None if none are asked for."""
    age, every = query.get(f"{kind}_age"), query.get(f"{kind}_incr")
    if age is None or every is None:
        return None
    if not (age.isascii() and age.isdigit() and every.isascii() and every.isdigit() and int(every)):
        raise ValueError(f"{kind}_age and {kind}_incr are seconds")
    count = int(age) // int(every) + 1
    if count > SAMPLES_MAX:
        raise ValueError(f"{kind}_age / {kind}_incr are {count} samples, at most {SAMPLES_MAX} are possible")
    newest = int(time.time()) // int(every) * int(every)
    return [(newest - number * int(every)) * 1000 for number in range(count - 1, -1, -1)]


def sampled(series: Series | None, column: int, times: list[int]) -> View:
    values = [0] * len(times) if series is None else series.values(column, times)
    span_s = (times[-1] - times[0]) / 1000
    return {
        "rate": (values[-1] - values[-2]) * 1000 / (times[-1] - times[-2]) if span_s else 0.0,
        "samples": [{"sample": value, "timestamp": at} for value, at in zip(values[::-1], times[::-1], strict=True)],
        "avg": sum(values) / len(values),
        "avg_rate": (values[-1] - values[0]) / span_s if span_s else 0.0,
    }
