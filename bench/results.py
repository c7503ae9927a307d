"""What was measured and whether it is enough: plain values, no printing, no measuring.

Filled by `bench.rounds`, `bench.backlog`, `bench.scale` and `bench.client_rounds`; shown by `bench.report`.
"""

from dataclasses import dataclass, field
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Target:
    """`times`: the ratio is at least `value`; `within`: at most. `below`: Leveret's median is under `value`."""

    kind: Literal["times", "within", "below"]
    value: float

    def __str__(self) -> str:
        return {"times": f"≥ {self.value:g}×", "within": f"≤ {self.value:g}×", "below": f"< {self.value:g}"}[self.kind]


@dataclass
class Row:
    """One line of the table. `note` says why there is nothing to judge; `judged` is False with --quick."""

    name: str
    title: str
    target: Target
    unit: str = "msg/s"
    against: str = "RabbitMQ"
    other: list[float] = field(default_factory=list)
    leveret: list[float] = field(default_factory=list)
    note: str = ""
    failed: bool = False
    judged: bool = True

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios, Leveret's figure over the other's of the same round; None without any.

        Whatever else the machine was doing, it did to both of a round; it may have changed from round to round.
        """
        rounds = [ours / theirs for ours, theirs in zip(self.leveret, self.other, strict=False) if theirs]
        return median(rounds) if rounds else None

    @property
    def met(self) -> bool | None:
        """None if there is nothing to judge: not measured, too few messages, or a round was void."""
        if self.failed or not self.judged or not self.leveret:
            return None
        if self.target.kind == "below":
            return median(self.leveret) < self.target.value
        if self.ratio is None:
            return None
        return self.ratio <= self.target.value if self.target.kind == "within" else self.ratio >= self.target.value

    def fail(self, reason: object) -> None:
        self.failed = True
        self.note = f"failed: {reason}"
