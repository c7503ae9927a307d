"""How fast the processes go: in bursts, and slowly enough for two cores, so that kills meet all of them at work."""

from __future__ import annotations

from random import Random
from typing import Final

ACKS_BETWEEN_MARKS: Final = 30
RETRY_S: Final = 0.02


def burst(random: Random) -> int:
    return random.randint(1, 20)


def rest_s(random: Random) -> float:
    return random.uniform(0, 0.1)


def work_s(random: Random) -> float:
    return random.uniform(0, 0.002)
