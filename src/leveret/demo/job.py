"""The demo's program: one task, which compresses a file and says over a queue of its own what it does.

Reports are confirmed before the task is acknowledged, so the demo counts what workers did and not what the broker
believes. Loaded by worker processes as `leveret.demo.job`; sent by run.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import time
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from leveret.client.blocking import BlockingChannel, connect_blocking
from leveret.tasks import WorkQueue, current_message
from leveret.wire.properties import BasicProperties

QUEUE: Final = "demo"
RESULTS: Final = "demo.results"
CHUNK_BYTES: Final = 1 << 20

work = WorkQueue(name="demo", default_queue=QUEUE)


class Report(msgspec.Struct, frozen=True):
    """`at_s` is seconds since the epoch. Sizes and digest (hexadecimal) belong to "done", `error` to "failed"."""

    event: Literal["started", "done", "failed"]
    path: str
    pid: int
    at_s: float
    redelivered: bool
    size_bytes: int = 0
    compressed_bytes: int = 0
    sha256: str = ""
    error: str = ""


@work.task
def compress(path: Path) -> None:
    """Report SHA-256 and LZMA-compressed size of a file."""
    message = current_message()
    redelivered = message is not None and message.redelivered
    report(Report("started", str(path), os.getpid(), time.time(), redelivered))
    try:
        size, compressed, digest = measure(path)
    except OSError as error:
        done = Report("failed", str(path), os.getpid(), time.time(), redelivered, error=str(error))
    else:
        done = Report("done", str(path), os.getpid(), time.time(), redelivered, size, compressed, digest)
    report(done)


def measure(path: Path) -> tuple[int, int, str]:
    """Octets, octets after LZMA, SHA-256; a chunk at a time, however large the file."""
    compressor, digest = lzma.LZMACompressor(), hashlib.sha256()
    size = compressed = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            digest.update(chunk)
            compressed += len(compressor.compress(chunk))
    return size, compressed + len(compressor.flush()), digest.hexdigest()


def report(report: Report) -> None:
    properties = BasicProperties(delivery_mode=2, content_type="application/json")
    _results().publish(msgspec.json.encode(report), routing_key=RESULTS, properties=properties, mandatory=True)


@cache
def _results() -> BlockingChannel:
    """This process's channel for reports."""
    return connect_blocking(work.broker_url(), name="demo results").channel(confirms=True)
