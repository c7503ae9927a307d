"""When the alarms go on and off, and what the gauges make of what the system tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leveret.broker.alarms import Alarms
from leveret.broker.peer import Peer
from leveret.server import gauges
from leveret.server.config import Limits
from leveret.server.gauges import Gauges
from leveret.server.watch import Watch
from leveret.wire.connection import Connection
from leveret.wire.frames import method_frame
from leveret.wire.methods import BasicPublish, encode_method


class Blocked(Peer):
    """Remembers how often it was let go."""

    def __init__(self) -> None:
        super().__init__()
        self.unblocked = 0

    def unblock(self) -> None:
        self.unblocked += 1


class Machine:
    """A machine of 1000 octets of memory, of which 600 may be used, and a disk of which 100 are to stay free."""

    def __init__(self, watermark: float = 0.6) -> None:
        self.used, self.total, self.free = 100, 1000, 5000
        self.given_back = 0
        self.turns = 0
        self.peer = Blocked()
        self.alarms = Alarms({1: self.peer})
        measuring = Gauges(lambda: self.used, lambda: self.total, lambda directory: self.free, self.give_back)
        limits = Limits(memory_high_watermark=watermark, disk_free_bytes_min=100)
        self.watch = Watch(self.alarms, limits, measuring, None, self.turn)

    def give_back(self) -> None:
        self.given_back += 1

    def turn(self) -> None:
        self.turns += 1

    def check(self, **figures: int) -> str:
        """Which alarms are on with these figures, in connection.blocked's words."""
        for name, value in figures.items():
            setattr(self, name, value)
        self.watch.check()
        return self.alarms.reason if self.alarms.on else ""


def test_alarms_go_on_beyond_the_limits_and_off_below() -> None:
    machine = Machine()
    assert machine.check(used=600, free=100) == ""
    assert machine.check(used=601) == "low on memory"
    assert machine.check(free=99) == "low on disk & memory"
    assert machine.check(used=600) == "low on disk"
    assert machine.peer.unblocked == 0
    assert machine.check(free=100) == ""
    assert (machine.peer.unblocked, machine.turns) == (1, 4)


def test_a_watermark_of_zero_blocks_always() -> None:
    assert Machine(watermark=0).check() == "low on memory"


def test_figures_that_are_not_known_raise_no_alarm() -> None:
    assert Machine().check(total=0, used=10**9, free=0) == ""
    assert Machine().check(used=0) == ""


def test_freed_memory_is_given_back_while_its_alarm_is_on() -> None:
    machine = Machine()
    machine.check(used=700)
    assert machine.given_back == 0
    machine.check()
    assert machine.given_back == 1
    machine.check(used=100)
    machine.check()
    assert machine.given_back == 2


def test_the_systems_figures_make_sense() -> None:
    assert 10_000_000 < gauges.memory_used() < gauges.memory_total()
    assert gauges.disk_free(Path("/")) > 0
    assert gauges.disk_free(None) == gauges.disk_free(Path("/nowhere")) == 0
    gauges.give_back()


@pytest.mark.parametrize(
    ("written", "expected"), [("123456789", 123_456_789), ("max", None), ("9223372036854771712", None), (None, None)]
)
def test_a_containers_limit_counts_if_it_is_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None, expected: int | None
) -> None:
    limit = tmp_path / "memory.max"
    if written is not None:
        limit.write_text(written)
    monkeypatch.setattr(gauges, "CGROUP_LIMITS", (limit,))
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert gauges.memory_total() == (machine if expected is None else expected)


def test_half_a_message_is_seen_before_it_is_whole() -> None:
    """So that a large one is not taken in to its end while memory is low."""
    wire = Connection(True)
    wire.state, wire.frame_max = 6, 4096
    wire.receive(b"\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xce")
    assert not wire.inside_content()
    wire.receive(method_frame(1, encode_method(BasicPublish(exchange="", routing_key="q"))))
    assert wire.inside_content()
    wire.receive(b"\x02\x00\x01\x00\x00\x00\x0e\x00\x3c\x00\x00" + (0).to_bytes(8, "big") + b"\x00\x00\xce")
    assert not wire.inside_content()
