"""What was measured: plain values, no printing, no measuring. Filled by `bench.tasks.run`, shown by `bench.tasks.report`."""

from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from bench.tasks.peers import Contestant


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    unit: str
    better: Literal["more", "less"]
    compared: bool = True
    """Whether a ratio says anything."""


METRICS = (
    Metric("enqueue", "enqueue one by one", "tasks/s", "more"),
    Metric("many", "enqueue many", "tasks/s", "more", compared=False),
    Metric("drain", "drain, first to last", "tasks/s", "more"),
    Metric("drain-start", "drain, from the start", "tasks/s", "more"),
    Metric("effect-p50", "send to effect, p50", "ms", "less"),
    Metric("effect-p99", "send to effect, p99", "ms", "less"),
    Metric("result-p50", "send to result, p50", "ms", "less"),
    Metric("result-p99", "send to result, p99", "ms", "less"),
    Metric("sleep", "100 ms tasks: of the ideal", "%", "more"),
    Metric("memory", "worker's memory", "MB", "less"),
    Metric("start", "start to first task", "s", "less"),
    Metric("kill-lost", "killed: not done after 90 s", "tasks", "less", compared=False),
    Metric("kill-again", "killed: done again", "tasks", "less", compared=False),
    Metric("kill-ended", "killed: again, had ended", "tasks", "less", compared=False),
    Metric("kill-beyond", "killed: beyond the ideal", "s", "less", compared=False),
)

Figures = dict[str, float]
"""By a metric's key."""


@dataclass
class Row:
    """One contestant's figures: by metric, then by round."""

    contestant: Contestant
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, number: int, figures: Figures) -> None:
        for key, value in figures.items():
            self.values.setdefault(key, {})[number] = value

    def fail(self, reason: object) -> None:
        if str(reason) not in self.notes:
            self.notes.append(str(reason))

    def median(self, metric: Metric) -> float | None:
        values = self.values.get(metric.key)
        return median(values.values()) if values else None

    def ratio(self, metric: Metric, ours: "Row | None") -> float | None:
        """How many times better Leveret is: the median of the rounds' ratios, for a round's noise is on both. Or None."""
        if not metric.compared or ours is None or ours is self:
            return None
        left, right = ours.values.get(metric.key, {}), self.values.get(metric.key, {})
        pairs = [(left[number], right[number]) for number in left.keys() & right.keys()]
        if metric.better == "less":
            pairs = [(theirs, ours) for ours, theirs in pairs]
        rounds = [above / below for above, below in pairs if below]
        return median(rounds) if rounds else None
