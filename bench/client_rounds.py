"""Leveret's client against pika: who consumes and acknowledges a full queue faster, on the same broker.

The broker is Leveret for both, because it must not be the slower side. Called by `bench.run`.
"""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

from bench import ROOT, RoundFailed
from bench.brokers import Broker
from bench.load import RUN_S_MAX, LoadGenerator, delete_queue
from bench.results import Row, Target

COUNT, COUNT_QUICK = 50_000, 3_000


def new_row() -> Row:
    title = "our client consumes and acks, 16 B"
    return Row("client", title, Target("times", 5), against="pika")


def client_missing() -> bool:
    try:
        return not hasattr(import_module("leveret.client"), "connect")
    except ImportError:
        return True


def consume(client: str, port: int, queue: str, count: int) -> float:
    """Messages per second of one client in a process of its own."""
    command = [sys.executable, "-m", "bench.client", client, str(port), queue, str(count)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX, cwd=ROOT)
    except subprocess.TimeoutExpired:
        raise RoundFailed(f"{client}: no end after {RUN_S_MAX:.0f} s") from None
    if done.returncode:
        raise RoundFailed(f"{client}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return float(done.stdout)


def measure(load: LoadGenerator, broker: Broker, client: str, count: int, queue: str) -> float:
    filled = ("--mode", "pub", "--confirm", "--size", "16")
    load.run(broker.port, queue, count, filled)
    rate = consume(client, broker.port, queue, count)
    delete_queue(broker.port, queue, expected=0)
    return rate


def run_clients(load: LoadGenerator, broker: Broker, rounds: int, quick: bool, progress: Callable[[str], None]) -> Row:
    row = new_row()
    if client_missing():
        row.note = "skipped: this Leveret has no leveret.client.connect"
        return row
    count = COUNT_QUICK if quick else COUNT
    turns = [("pika", row.other), ("leveret", row.leveret)]
    for number in range(rounds):
        for client, rates in turns if number % 2 == 0 else reversed(turns):
            try:
                rate = measure(load, broker, client, count, f"client-{client}-{number}")
            except RoundFailed as failure:
                row.fail(f"round {number + 1}: {failure}")
                return row
            rates.append(rate)
            progress(f"client  round {number + 1}/{rounds}  {client}: {rate:,.0f} msg/s")
    return row
