"""Figures for Prometheus: what became of tasks, how long they waited and ran, and how many run.

    work = WorkQueue(middleware=[Prometheus(port=9191)])

    leveret_tasks_sent_total{task, queue}             messages sent by this process
    leveret_tasks_ended_total{task, queue, outcome}   outcome: done, failed or crashed (tried again), parked, cancelled
    leveret_task_run_seconds{task, queue}             histogram, of each attempt
    leveret_task_wait_seconds{task, queue}            histogram: from when it was due (sent, or its delay over) to its first attempt
    leveret_tasks_running{task, queue}                gauge

A worker serves them on `port` from its start on. Where it has several processes, set PROMETHEUS_MULTIPROC_DIR (see
prometheus_client): whichever process has the port answers for all of them, and when it goes another one takes the port.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess, start_http_server

from leveret.tasks import Message, Middleware, Outcome, Outgoing

log = logging.getLogger("leveret.worker")

DUE: Final = "x-leveret-due"
"""Header: when the message was to be there, in ms since 1970. Set by senders that have this middleware."""

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
TASKS_MAX: Final = 500
"""Names of tasks are whatever others send: those beyond so many are counted together."""

OTHERS: Final = "(others)"
AGAIN_S: Final = 5.0
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
_multiprocess: Any = multiprocess  # it has no types
LIVE: Final = re.compile(r"gauge_live\w*_(\d+)\.db")


class Prometheus(Middleware):
    """`port`: where a worker serves them, on `host`; None: the program does that itself. `buckets` are both histograms', in
    seconds.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str = "127.0.0.1",
        registry: CollectorRegistry = REGISTRY,
        buckets: Sequence[float] = SECONDS,
    ) -> None:
        self._port, self._host, self._registry = port, host, registry
        self._names: set[str] = set()
        labels = ("task", "queue")
        self._sent = Counter("leveret_tasks_sent", "Messages sent by this process.", labels, registry=registry)
        self._ended = Counter(
            "leveret_tasks_ended", "Messages by how they ended.", (*labels, "outcome"), registry=registry
        )
        self._run = Histogram(
            "leveret_task_run_seconds", "How long attempts ran.", labels, buckets=buckets, registry=registry
        )
        self._wait = Histogram(
            "leveret_task_wait_seconds",
            "From when a task was due to its start.",
            labels,
            buckets=buckets,
            registry=registry,
        )
        self._running = Gauge(
            "leveret_tasks_running", "Tasks that run just now.", labels, multiprocess_mode="livesum", registry=registry
        )

    # ---- the hooks

    def send(self, outgoing: Outgoing) -> None:
        outgoing.headers[DUE] = time.time_ns() // 1_000_000 + outgoing.delay_ms
        self._sent.labels(self._name(outgoing.task), outgoing.queue).inc()

    def before(self, message: Message) -> None:
        labels = self._name(message.task), message.queue
        self._running.labels(*labels).inc()
        due_ms = message.headers.get(DUE)
        if isinstance(due_ms, int) and message.attempt == 1 and not message.crashes:
            self._wait.labels(*labels).observe(max(0.0, time.time() - due_ms / 1000))

    def after(self, message: Message, outcome: Outcome) -> None:
        labels = self._name(message.task), message.queue
        self._running.labels(*labels).dec()
        self._run.labels(*labels).observe(outcome.took_s)

    def ended(self, message: Message, outcome: Outcome) -> None:
        kind = type(outcome).__name__.lower()
        self._ended.labels(self._name(message.task), message.queue, kind).inc()

    def ready(self) -> None:
        if self._port is not None:
            threading.Thread(target=self._serve, args=(self._port,), name="leveret-metrics", daemon=True).start()

    def _name(self, task: str) -> str:
        if task not in self._names:
            if len(self._names) >= TASKS_MAX:
                return OTHERS
            self._names.add(task)
        return task

    # ---- being scraped

    def _serve(self, port: int) -> None:
        """As soon as nobody else has the port: of several processes one answers, for all."""
        registry, told = self._served(), False
        while True:
            try:
                start_http_server(port, self._host, registry)
                return
            except OSError as error:
                if not told and registry is self._registry:
                    log.warning(
                        "metrics are not served on port %d: %s (several processes need %s)", port, error, DIRECTORY
                    )
                told = True
            time.sleep(AGAIN_S)

    def _served(self) -> CollectorRegistry:
        directory = os.environ.get(DIRECTORY)
        if directory is None:
            return self._registry
        registry: Any = CollectorRegistry()
        registry.register(_AllProcesses(directory))
        return cast(CollectorRegistry, registry)


class _AllProcesses:
    """A collector. What runs in a process that was killed runs no more."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._merged = _multiprocess.MultiProcessCollector(None, directory)

    def collect(self) -> Iterable[Any]:
        for path in self._directory.glob("gauge_live*.db"):
            found = LIVE.fullmatch(path.name)
            if found is not None and not _lives(int(found[1])):
                _multiprocess.mark_process_dead(int(found[1]), str(self._directory))
        collected: Iterable[Any] = self._merged.collect()
        return collected


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
