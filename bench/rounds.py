"""Throughput scenarios: the table of them, and the rounds in which two brokers take turns.

Every round has a queue of its own and begins with a small unmeasured run whose queue is drained. The broker
that goes first alternates, so that what one leaves behind (cache, dirty pages) favours neither.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench import RoundFailed
from bench.brokers import Broker
from bench.load import LoadGenerator, delete_queue
from bench.results import Row, Target

SAFE = ("--durable", "--persistent", "--confirm")
"""Durable queue, persistent messages, publisher confirms; amqp_load acknowledges each delivery by itself."""


@dataclass(frozen=True)
class Scenario:
    """`count_quick` messages are sent with --quick. `consumed` is False if the messages stay in the queue."""

    name: str
    title: str
    times: float
    count: int
    count_quick: int
    options: tuple[str, ...]
    pure: bool = False
    consumed: bool = True


SCENARIOS = (
    Scenario(
        name="durable-16",
        title="durable, confirmed, acked, 16 B",
        times=5,
        count=400_000,
        count_quick=10_000,
        options=(*SAFE, "--size", "16"),
    ),
    Scenario(
        name="durable-1k",
        title="durable, confirmed, acked, 1 KiB",
        times=4,
        count=200_000,
        count_quick=10_000,
        options=(*SAFE, "--size", "1024"),
    ),
    Scenario(
        name="transient",
        title="transient, not confirmed, acked, 16 B",
        times=4,
        count=400_000,
        count_quick=10_000,
        options=("--size", "16"),
    ),
    Scenario(
        name="ten-consumers",
        title="ten consumers, prefetch 1, durable, 16 B",
        times=3,
        count=100_000,
        count_quick=5_000,
        options=(*SAFE, "--size", "16", "--consumers", "10", "--prefetch", "1"),
    ),
    Scenario(
        name="window-1",
        title="each publish awaits its confirm, 16 B",
        times=1.2,
        count=10_000,
        count_quick=300,
        options=(*SAFE, "--size", "16", "--window", "1", "--mode", "pub"),
        consumed=False,
    ),
    Scenario(
        name="pure",
        title="pure Python, durable, 16 B",
        times=2,
        count=200_000,
        count_quick=10_000,
        options=(*SAFE, "--size", "16"),
        pure=True,
    ),
)


def new_row(scenario: Scenario) -> Row:
    return Row(scenario.name, scenario.title, Target("times", scenario.times))


def measure(load: LoadGenerator, broker: Broker, scenario: Scenario, count: int, queue: str) -> float:
    """One round on one broker: warm up, measure, and check that the queue holds what it should."""
    warm_up = max(count // 20, 50)
    load.run(broker.port, f"{queue}-warm-up", warm_up, (*scenario.options, "--mode", "both"))
    delete_queue(broker.port, f"{queue}-warm-up", expected=0)
    rate = load.run(broker.port, queue, count, scenario.options)
    delete_queue(broker.port, queue, expected=0 if scenario.consumed else count)
    return rate


def run_scenario(
    load: LoadGenerator,
    scenario: Scenario,
    rabbitmq: Broker,
    leveret: Broker,
    rounds: int,
    quick: bool,
    progress: Callable[[str], None],
) -> Row:
    row = new_row(scenario)
    count = scenario.count_quick if quick else scenario.count
    turns = [(rabbitmq, row.other), (leveret, row.leveret)]
    for number in range(rounds):
        for broker, rates in turns if number % 2 == 0 else reversed(turns):
            try:
                rate = measure(load, broker, scenario, count, f"{scenario.name}-{number}")
            except RoundFailed as failure:
                row.fail(f"{broker.name}, round {number + 1}: {failure}")
                return row
            rates.append(rate)
            progress(f"{scenario.name}  round {number + 1}/{rounds}  {broker.name}: {rate:,.0f} msg/s")
    return row
