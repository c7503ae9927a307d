"""Leveret measured beside a real RabbitMQ on the same machine. `make bench` runs `python -m bench`.

Not part of the installed package, and not a test: a result depends on the machine and is read by a person.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class CannotRun(Exception):
    """Something the benchmark needs is missing; the message says what to install. Ends it with exit code 2."""


class RoundFailed(Exception):
    """One measurement is void: the load generator failed, or messages were lost or left behind."""
