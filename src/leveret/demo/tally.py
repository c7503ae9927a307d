"""What the workers reported, added up: which tasks are done, by whom, and what each of them is at. Plain state.

Filled by run, read by view and chart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from leveret.demo.job import Report


@dataclass(slots=True)
class Worker:
    """One process. `spans` are the times (seconds since the epoch) from start to end of each task it finished."""

    number: int
    pid: int
    current: Report | None = None
    done: int = 0
    redelivered: int = 0
    killed_s: float | None = None
    spans: list[tuple[float, float]] = field(default_factory=list)


class Tally:
    """`paths` are the tasks that were sent, each one a file."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = frozenset(paths)
        self.workers: dict[int, Worker] = {}
        self.reports: dict[str, Report] = {}
        self.redelivered = 0

    def take(self, report: Report) -> Worker:
        """Note it; whose it is."""
        worker = self.workers.get(report.pid)
        if worker is None:
            worker = self.workers[report.pid] = Worker(len(self.workers) + 1, report.pid)
        if report.event == "started":
            worker.current = report
            worker.redelivered += report.redelivered
            self.redelivered += report.redelivered
        else:
            self._end(worker, report)
        return worker

    def _end(self, worker: Worker, report: Report) -> None:
        if worker.current is not None:
            worker.spans.append((worker.current.at_s, report.at_s))
        worker.current = None
        worker.done += 1
        self.reports[report.path] = report

    @property
    def done(self) -> int:
        """Tasks that were done, each counted once however often it was."""
        return len(self.paths & self.reports.keys())

    @property
    def missing(self) -> list[str]:
        return sorted(self.paths - self.reports.keys())

    @property
    def unreadable(self) -> list[Report]:
        return [report for report in self.reports.values() if report.event == "failed"]

    @property
    def size_bytes(self) -> int:
        return sum(report.size_bytes for report in self.reports.values())

    @property
    def compressed_bytes(self) -> int:
        return sum(report.compressed_bytes for report in self.reports.values())
