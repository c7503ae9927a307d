"""Brokers of both kinds whose memory and disk run low when a test says so.

RabbitMQ is told other limits. Leveret runs here as a program of its own whose gauges read their figures
from a file: `python tests/alarming.py PORT MANAGEMENT_PORT DATA FIGURES`.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

from brokers import Broker, Leveret, RabbitMQ
from leveret.server.config import Config, Limits, Management
from leveret.server.gauges import Gauges
from leveret.server.run import run

MEMORY_TOTAL, DISK_FREE_MIN = 1000, 1000


class AlarmingLeveret(Leveret):
    def __init__(self, management: bool = True) -> None:
        super().__init__(management)
        self.figures = self.directory / "figures"
        self.alarm()

    def command(self) -> list[str]:
        ports = [str(self.port), str(self.management_port)]
        return [sys.executable, __file__, *ports, str(self.directory / "data"), str(self.figures)]

    def alarm(self, *, memory: bool = False, disk: bool = False) -> None:
        """From now on the broker is low on these."""
        written = self.figures.with_suffix(".new")
        written.write_text(f"{900 if memory else 100} {900 if disk else 5000}")
        written.replace(self.figures)

    def alarms(self) -> tuple[bool, bool]:
        """Which of the two are on, as the broker sees it."""
        with urllib.request.urlopen(management(self, "nodes"), timeout=10) as answer:
            (node,) = json.load(answer)
        return node["mem_alarm"], node["disk_free_alarm"]


class AlarmingRabbitMQ(RabbitMQ):
    def alarm(self, *, memory: bool = False, disk: bool = False) -> None:
        had_memory, had_disk = self.alarms()
        if memory != had_memory:
            self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({0.00001 if memory else 0.6:f})")
        if disk != had_disk:
            self.evaluate(f'rabbit_disk_monitor:set_disk_free_limit("{"1000GB" if disk else "1MB"}")')

    def alarms(self) -> tuple[bool, bool]:
        # The management interface's figures are seconds old.
        said = self.evaluate("rabbit_alarm:get_alarms()")
        return "memory" in said, "disk" in said


ALARMING: dict[str, type[AlarmingLeveret] | type[AlarmingRabbitMQ]] = {
    "leveret": AlarmingLeveret,
    "rabbitmq": AlarmingRabbitMQ,
}
AlarmingBroker = AlarmingLeveret | AlarmingRabbitMQ


def management(broker: Broker, path: str) -> urllib.request.Request:
    """A request to the broker's management interface."""
    request = urllib.request.Request(f"http://127.0.0.1:{broker.management_port}/api/{path}")
    request.add_header("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")
    return request


def gauges(figures: Path) -> Gauges:
    def figure(place: int) -> int:
        return int(figures.read_text().split()[place])

    return Gauges(lambda: figure(0), lambda: MEMORY_TOTAL, lambda directory: figure(1), lambda: None)


def main(port: str, management_port: str, data: str, figures: str) -> int:
    limits = Limits(disk_free_bytes_min=DISK_FREE_MIN, alarm_check_s=0.05)
    config = Config(
        port=int(port),
        data=Path(data),
        management=Management(port=int(management_port)),
        log_level="warning",
        limits=limits,
    )
    return run(config, gauges(Path(figures)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
