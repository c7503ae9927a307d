"""One million waiting messages: how much memory a broker takes, and how soon it is back after a restart.

Measured once, on brokers of their own, because a round is a gigabyte of messages. RabbitMQ's figures are
there to compare; the targets are absolute. Linux only (/proc). Called by `bench.run`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from bench import RoundFailed
from bench.brokers import BrokerFailed, Leveret, RabbitMQ
from bench.load import LoadGenerator, delete_queue, messages_ready
from bench.results import Row, Target

COUNT, COUNT_QUICK = 1_000_000, 20_000
FILL = ("--mode", "pub", "--durable", "--persistent", "--confirm", "--size", "1024")
DRAIN = ("--mode", "sub", "--durable")
QUEUE = "backlog"


def new_rows(count: int) -> tuple[Row, Row]:
    waiting = f"{count:,} × 1 KiB waiting"
    memory = Row("backlog-memory", f"{waiting}: most memory", Target("below", 600), "MB")
    restart = Row("backlog-restart", f"{waiting}: restart to ready", Target("below", 5), "s")
    return memory, restart


def memory_most_mb(broker: Leveret | RabbitMQ) -> float:
    """The most resident memory its process ever had (VmHWM), in units of 10^6 bytes."""
    if broker.process is None:
        raise RoundFailed("the broker is not running")
    status = Path(f"/proc/{broker.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise RoundFailed("/proc has no VmHWM for the broker's process")
    return int(found[1]) * 1024 / 1e6


def measure(
    load: LoadGenerator, broker: Leveret | RabbitMQ, count: int, progress: Callable[[str], None]
) -> tuple[float, float]:
    """(most memory in MB; seconds to restart). Void if a message is missing.

    The queue is drained afterwards: a broker that puts its recovery off until messages are asked for must still
    deliver every one, and its memory while doing so counts.
    """
    broker.start()
    rate = load.run(broker.port, QUEUE, count, FILL)
    filled_mb = memory_most_mb(broker)
    progress(f"backlog  {broker.name}: {count:,} messages in at {rate:,.0f} msg/s, {filled_mb:,.0f} MB at most")
    broker.stop()
    began = perf_counter()
    broker.start()
    restart_s = perf_counter() - began
    kept = messages_ready(broker.port, QUEUE)
    if kept != count:
        raise RoundFailed(f"{kept:,} of {count:,} messages were there after the restart")
    progress(f"backlog  {broker.name}: ready again after {restart_s:.2f} s")
    load.run(broker.port, QUEUE, count, DRAIN)
    delete_queue(broker.port, QUEUE, expected=0)
    progress(f"backlog  {broker.name}: every message was delivered after the restart")
    return max(filled_mb, memory_most_mb(broker)), restart_s


def run_backlog(
    load: LoadGenerator, rabbitmq: RabbitMQ, leveret: Leveret, quick: bool, progress: Callable[[str], None]
) -> list[Row]:
    """Starts the brokers that it is given, one after the other, and removes them."""
    count = COUNT_QUICK if quick else COUNT
    memory, restart = new_rows(count)
    turns: tuple[tuple[Leveret | RabbitMQ, list[float], list[float]], ...] = (
        (rabbitmq, memory.other, restart.other),
        (leveret, memory.leveret, restart.leveret),
    )
    for broker, megabytes, seconds in turns:
        try:
            most_mb, restart_s = measure(load, broker, count, progress)
            megabytes.append(most_mb)
            seconds.append(restart_s)
        except (BrokerFailed, RoundFailed, OSError) as failure:
            memory.fail(f"{broker.name}: {failure}")
            restart.fail(f"{broker.name}: {failure}")
            break
        finally:
            broker.remove()
    return [memory, restart]
