"""What every peer's task does: it tells the driver, through a named pipe, that it ran. Imported by each app.

A record is far below PIPE_BUF, so the kernel writes it whole or not at all, and a worker killed -9 takes nothing back
that it has written. It costs each peer the same: one system call, and a second one where the task sleeps.
"""

import asyncio
import os
import struct
import time

RECORD = struct.Struct("<IIdB")
"""Task number, process id, CLOCK_MONOTONIC in seconds, kind."""
STARTED, DONE = 0, 1

URL = os.environ["BENCH_URL"]
REDIS = URL.startswith("redis:")
RESULTS_URL = os.environ.get("BENCH_RESULTS_URL", "")
"""A Redis, for the peers that keep results nowhere else; empty: no results are asked for."""
RELIABLE = os.environ["BENCH_MODE"] == "reliable"
QUEUE = os.environ["BENCH_QUEUE"]
SLOTS = int(os.environ["BENCH_SLOTS"])
"""Tasks at a time in one process."""

_pipe = os.open(os.environ["BENCH_PIPE"], os.O_WRONLY)


def report(number: int, kind: int) -> None:
    os.write(_pipe, RECORD.pack(number, os.getpid(), time.monotonic(), kind))


def work(number: int, sleep_ms: int) -> int | None:
    """The task. Its value is kept only where results are measured."""
    if sleep_ms:
        report(number, STARTED)
        time.sleep(sleep_ms / 1000)
    report(number, DONE)
    return number if RESULTS_URL else None


async def work_async(number: int, sleep_ms: int) -> int | None:
    """The same for the peers whose tasks are coroutines."""
    if sleep_ms:
        report(number, STARTED)
        await asyncio.sleep(sleep_ms / 1000)
    report(number, DONE)
    return number if RESULTS_URL else None
